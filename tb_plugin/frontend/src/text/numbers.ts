/** Formats numbers for display. */

const NARROW_SPACE = "\u202f";
const MINUS = "\u2212";

/** A count with thin spaces between thousands: 10 000. */
export function formatCount(value: number): string {
  const sign = value < 0 ? MINUS : "";
  return sign + String(Math.abs(Math.round(value))).replace(/\B(?=(\d{3})+$)/g, NARROW_SPACE);
}

/** `digits` significant digits; an exponent only below 1e-4 and from 1e6. */
export function formatValue(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (size >= 1e6 || size < 1e-4) {
    const [mantissa = "", exponent = ""] = size.toExponential(digits - 1).split("e");
    return `${sign}${trimZeros(mantissa)}e${exponent.replace("+", "").replace("-", MINUS)}`;
  }
  if (size >= 1000) return sign + formatCount(size);
  return sign + trimZeros(size.toPrecision(digits));
}

/** A distance with two decimals, without decimals from 1000. */
export function formatDistance(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value >= 1000 ? formatCount(value) : value.toFixed(2);
}

/** A probability with two decimals. */
export function formatProbability(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : value.toFixed(2);
}

function trimZeros(digits: string): string {
  return digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits;
}
