/** The discrete Fourier transform of one length. */
export interface Fourier {
  readonly length: number;
  /** Real and imaginary parts, in place. */
  transform(re: Float64Array, im: Float64Array): void;
}

/** Lengths that are transformed: prime factors cost their square. */
export const MOST_POINTS: number = 2 ** 14;

/**
 * X[k] = sum over t of x[t] exp(-2 pi i k t / n), for any n by its prime factors (Stockham: the result comes
 * in order, and twiddle factors are constant in the inner loops).
 */
export function fourier(length: number): Fourier {
  const radices = factors(length);
  const cos = Float64Array.from({ length }, (_, i) => Math.cos((2 * Math.PI * i) / length));
  const sin = Float64Array.from({ length }, (_, i) => -Math.sin((2 * Math.PI * i) / length));
  const [otherRe, otherIm] = [new Float64Array(length), new Float64Array(length)];
  return {
    length,
    transform(re, im) {
      let from: Complex = { re, im };
      let to: Complex = { re: otherRe, im: otherIm };
      let [rest, stride] = [length, 1];
      for (const radix of radices) {
        const stage = { radix, parts: rest / radix, stride, cos, sin };
        if (radix === 4) butterflies4(from, to, stage);
        else butterflies(from, to, stage);
        [from, to] = [to, from];
        [rest, stride] = [rest / radix, stride * radix];
      }
      if (from.re === re) return;
      re.set(from.re);
      im.set(from.im);
    },
  };
}

interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** One factor of the length: `parts` groups of `stride` transforms of `radix` points each. */
interface Stage {
  readonly radix: number;
  readonly parts: number;
  readonly stride: number;
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

/** y[q + stride (radix p + u)] = w^(p u stride) sum over t of x[q + stride (p + parts t)] w_radix^(t u) */
function butterflies(x: Complex, y: Complex, { radix, parts, stride, cos, sin }: Stage): void {
  const length = cos.length;
  const turn = length / radix;
  for (let p = 0; p < parts; p++) {
    for (let u = 0; u < radix; u++) {
      const [outCos, outSin] = [cos[(p * u * stride) % length] ?? 0, sin[(p * u * stride) % length] ?? 0];
      const out = stride * (radix * p + u);
      for (let q = 0; q < stride; q++) {
        let [sumRe, sumIm] = [0, 0];
        let at = q + stride * p;
        let angle = 0;
        for (let t = 0; t < radix; t++) {
          const [c, s, a, b] = [cos[angle]!, sin[angle]!, x.re[at]!, x.im[at]!];
          sumRe += a * c - b * s;
          sumIm += a * s + b * c;
          at += stride * parts;
          angle += turn * u;
          if (angle >= length) angle %= length;
        }
        y.re[out + q] = sumRe * outCos - sumIm * outSin;
        y.im[out + q] = sumRe * outSin + sumIm * outCos;
      }
    }
  }
}

/** The same for four points, whose own factors are 1, -i, -1, i. */
function butterflies4(x: Complex, y: Complex, { parts, stride, cos, sin }: Stage): void {
  const step = stride * parts;
  for (let p = 0; p < parts; p++) {
    const [c1, s1] = [cos[p * stride]!, sin[p * stride]!];
    const [c2, s2] = [c1 * c1 - s1 * s1, 2 * c1 * s1];
    const [c3, s3] = [c1 * c2 - s1 * s2, c1 * s2 + s1 * c2];
    for (let q = 0; q < stride; q++) {
      const at = q + stride * p;
      const out = q + stride * 4 * p;
      const [a, b, c, d] = [x.re[at]!, x.re[at + step]!, x.re[at + 2 * step]!, x.re[at + 3 * step]!];
      const [e, f, g, h] = [x.im[at]!, x.im[at + step]!, x.im[at + 2 * step]!, x.im[at + 3 * step]!];
      const [re1, im1] = [a - c + (f - h), e - g - (b - d)];
      const [re2, im2] = [a + c - (b + d), e + g - (f + h)];
      const [re3, im3] = [a - c - (f - h), e - g + (b - d)];
      y.re[out] = a + c + b + d;
      y.im[out] = e + g + f + h;
      y.re[out + stride] = re1 * c1 - im1 * s1;
      y.im[out + stride] = re1 * s1 + im1 * c1;
      y.re[out + 2 * stride] = re2 * c2 - im2 * s2;
      y.im[out + 2 * stride] = re2 * s2 + im2 * c2;
      y.re[out + 3 * stride] = re3 * c3 - im3 * s3;
      y.im[out + 3 * stride] = re3 * s3 + im3 * c3;
    }
  }
}

/** Fours, then primes. */
function factors(length: number): number[] {
  const out: number[] = [];
  let rest = length;
  for (; rest % 4 === 0; rest /= 4) out.push(4);
  for (let prime = 2; rest > 1; prime++) for (; rest % prime === 0; rest /= prime) out.push(prime);
  return out;
}
