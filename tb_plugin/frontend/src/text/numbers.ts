/** Formats numbers for display. Every number has a short text; what is no number is a dash. */

const NARROW_SPACE = "\u202f";
const MINUS = "\u2212";
const MISSING = "–";
/** Above it, not all whole numbers are exact, and digits take too much room. */
const LARGEST_COUNT = 1e16;
/** Distances and probabilities up to it have two decimals. */
const LARGEST_DECIMAL = 1000;

/** A count with thin spaces between thousands: 10 000. */
export function formatCount(value: number): string {
  if (!Number.isFinite(value)) return MISSING;
  if (Math.abs(value) >= LARGEST_COUNT) return exponential(value, 3);
  const size = Math.abs(Math.round(value));
  const sign = value < 0 && size > 0 ? MINUS : "";
  return sign + String(size).replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
}

/** `digits` significant digits; an exponent only below 1e-4 and from 1e6. */
export function formatValue(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return exponential(value, digits);
  const sign = value < 0 ? MINUS : "";
  if (size >= 1000) return sign + formatCount(size);
  return sign + trimZeros(size.toPrecision(digits));
}

/** A distance with two decimals, without decimals from 1000. */
export function formatDistance(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  return Math.abs(value) >= LARGEST_DECIMAL ? formatCount(value) : value.toFixed(2);
}

/** A probability with two decimals. */
export function formatProbability(value: number | null | undefined): string {
  return formatDistance(value);
}

function exponential(value: number, digits: number): string {
  const [mantissa = "", exponent = ""] = Math.abs(value)
    .toExponential(digits - 1)
    .split("e");
  const sign = value < 0 ? MINUS : "";
  return `${sign}${trimZeros(mantissa)}e${exponent.replace("+", "").replace("-", MINUS)}`;
}

function trimZeros(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}
