import type { Values } from "../data/api.ts";

/**
 * Compute the bias-corrected exponential moving average that TensorBoard uses for scalars:
 * sᵢ = w sᵢ₋₁ + (1 − w) xᵢ, divided by 1 − wⁱ. Missing values stay missing.
 */
export function smooth(values: Values, weight: number): Values {
  if (weight <= 0) return values;
  let sum = 0;
  let count = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    count += 1;
    return sum / (1 - weight ** count);
  });
}
