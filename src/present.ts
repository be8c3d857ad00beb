import { internal } from "./errors.js";

// What must be there, by our own reckoning. Hot loops over numbers index typed arrays themselves.

/** An element of a list; a negative index counts from the end. */
export function at<T>(list: ArrayLike<T>, index: number): T {
  return list[index < 0 ? index + list.length : index] ?? internal(`no element ${index} of ${list.length}`);
}

/** The value of a key. */
export function entry<K, V>(map: ReadonlyMap<K, V>, key: K): V {
  return map.get(key) ?? internal(`nothing is stored under "${key}"`);
}
