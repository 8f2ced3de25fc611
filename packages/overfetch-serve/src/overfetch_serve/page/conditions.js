// Filters in the one form that the service reads (`field=a|b`, `field>=2024-01-01`), and what they say of one field.

const FORM = /^\s*([A-Za-z_][A-Za-z0-9_-]*)\s*(>=|<=|=|>|<)\s*([\s\S]*?)\s*$/;

/** A condition that cannot be read is taken for a field of that name: the service says what is wrong with it. */
function parsed(condition) {
  if (typeof condition !== "string") {
    return { field: String(condition.field), sign: "=", values: [condition.values ?? []].flat().map(String) };
  }
  const [, field, sign, value] = FORM.exec(condition) ?? ["", condition, "", ""];
  const values = value.split("|").map((one) => one.trim());
  return { field, sign, values: values.filter(Boolean) };
}

export const fieldOf = (condition) => parsed(condition).field;

const fits = (value) => value === value.trim() && !value.includes("|") && value !== "";

export function ofValues(field, values) {
  if (!values.length) return [];
  return values.every(fits) ? [`${field}=${values.join("|")}`] : [{ field, values }];
}

export function ofRange(field, from, to) {
  return [from && `${field}>=${from}`, to && `${field}<=${to}`].filter(Boolean);
}

export const ofWords = (field, words) => (words.trim() ? [`${field}=${words.trim()}`] : []);

const ofField = (conditions, field) => conditions.map(parsed).filter((one) => one.field === field);

export const valuesOf = (conditions, field) => ofField(conditions, field).flatMap((one) => one.values);

export function rangeOf(conditions, field) {
  const range = { from: "", to: "" };
  for (const { sign, values } of ofField(conditions, field)) {
    if (!sign.startsWith("<")) range.from = values[0] ?? "";
    if (!sign.startsWith(">")) range.to = values[0] ?? "";
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
