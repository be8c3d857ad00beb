const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = "January February March April May June July August September October November December".split(
  " ",
);

const pad = (value: number, width = 2, fill = "0"): string => String(value).padStart(width, fill);

/** Python's strftime in the C locale; `%-d` writes a number without what fills it up. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([%a-zA-Z])/g, (whole, bare: string, name: string) => {
    const directive = Object.hasOwn(directives, name) ? directives[name] : undefined;
    const text = directive?.(date) ?? whole;
    return bare === "" ? text : text.replace(/^[0 ]+(?=\d)/, "");
  });
}

const directives: { readonly [name: string]: (date: Date) => string } = {
  "%": () => "%",
  A: (date) => days[date.getDay()] ?? "",
  a: (date) => (days[date.getDay()] ?? "").slice(0, 3),
  B: (date) => months[date.getMonth()] ?? "",
  b: (date) => (months[date.getMonth()] ?? "").slice(0, 3),
  c: (date) => strftime(date, "%a %b %e %H:%M:%S %Y"),
  D: (date) => strftime(date, "%m/%d/%y"),
  d: (date) => pad(date.getDate()),
  e: (date) => pad(date.getDate(), 2, " "),
  F: (date) => strftime(date, "%Y-%m-%d"),
  f: (date) => pad(date.getMilliseconds() * 1000, 6),
  H: (date) => pad(date.getHours()),
  h: (date) => strftime(date, "%b"),
  I: (date) => pad(date.getHours() % 12 || 12),
  j: (date) => pad(dayOfYear(date), 3),
  M: (date) => pad(date.getMinutes()),
  m: (date) => pad(date.getMonth() + 1),
  n: () => "\n",
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  R: (date) => strftime(date, "%H:%M"),
  r: (date) => strftime(date, "%I:%M:%S %p"),
  S: (date) => pad(date.getSeconds()),
  s: (date) => String(Math.floor(date.getTime() / 1000)),
  T: (date) => strftime(date, "%H:%M:%S"),
  t: () => "\t",
  U: (date) => pad(Math.floor((dayOfYear(date) + 6 - date.getDay()) / 7)),
  u: (date) => String(date.getDay() || 7),
  W: (date) => pad(Math.floor((dayOfYear(date) + 6 - ((date.getDay() + 6) % 7)) / 7)),
  w: (date) => String(date.getDay()),
  X: (date) => strftime(date, "%H:%M:%S"),
  x: (date) => strftime(date, "%m/%d/%y"),
  Y: (date) => String(date.getFullYear()),
  y: (date) => pad(date.getFullYear() % 100),
  Z: () => "",
  z: () => "",
};

/** From 1. */
function dayOfYear(date: Date): number {
  const from = Date.UTC(date.getFullYear(), 0, 0);
  return Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - from) / 86_400_000);
}
