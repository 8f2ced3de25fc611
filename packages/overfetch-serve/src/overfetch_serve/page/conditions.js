// Filters in the one form that the service reads (`field=a|b`, `field>=2024-01-01`), and what they say of one field.

const FORM = /^\s*([A-Za-z_][A-Za-z0-9_-]*)\s*(>=|<=|=|>|<)\s*([\s\S]*?)\s*$/;

export const fieldOf = (condition) => (typeof condition === "string" ? FORM.exec(condition)?.[1] : condition.field);

const fits = (value) => value === value.trim() && !value.includes("|") && value !== "";

export function ofValues(field, values) {
  if (!values.length) return [];
  return values.every(fits) ? [`${field}=${values.join("|")}`] : [{ field, values }];
}

export function ofRange(field, from, to) {
  return [from && `${field}>=${from}`, to && `${field}<=${to}`].filter(Boolean);
}

export const ofWords = (field, words) => (words.trim() ? [`${field}=${words.trim()}`] : []);

export function valuesOf(conditions, field) {
  const own = conditions.filter((one) => fieldOf(one) === field);
  return own.flatMap((one) =>
    typeof one === "string"
      ? FORM.exec(one)[3]
          .split("|")
          .map((v) => v.trim())
      : (one.values ?? []),
  );
}

export function rangeOf(conditions, field) {
  const range = { from: "", to: "" };
  for (const [, name, sign, value] of conditions.map((one) => FORM.exec(String(one)) ?? [])) {
    if (name !== field) continue;
    if (sign !== "<=" && sign !== "<") range.from = value;
    if (sign !== ">=" && sign !== ">") range.to = value;
  }
  return range;
}

/** In words, for a person: `kind: tool or model`. */
export function worded(conditions, field, kind) {
  if (kind === "date" || kind === "number") {
    const { from, to } = rangeOf(conditions, field);
    if (from === to) return from;
    return [from && `from ${from}`, to && `to ${to}`].filter(Boolean).join(" ");
  }
  return valuesOf(conditions, field).join(kind === "text" ? " " : " or ");
}

export const without = (conditions, field) => conditions.filter((one) => fieldOf(one) !== field);

export const fieldsOf = (conditions) => [...new Set(conditions.map(fieldOf))];
