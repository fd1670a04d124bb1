/** Fields that narrow a list; each is a member of the view, so it stands in the address. `/` goes to the first. */
import { useRef } from "preact/hooks";
import { useKey } from "../keys";
import { t } from "../text";
import { param, setParams } from "../url";

export interface Filter {
  /** The API's parameter, such as `_like_client_id`. */
  name: string;
  label: string;
  /** Value and word; a field to type in without it. */
  choices?: readonly (readonly [string, string])[];
}

const TYPING_MS = 300;

export function Filters({ filters }: { filters: readonly Filter[] }) {
  const first = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useKey("/", () => first.current?.select());
  return <div class="row" role="search">
    {filters.map(({ name, label, choices }, index) => choices
      ? <select key={name} aria-label={label} value={param(name)} onChange={(event) =>
        setParams({ [name]: event.currentTarget.value, page: "" }, { step: true })}>
        <option value="">{t("filters.any", { label })}</option>
        {choices.map(([value, word]) => <option key={value} value={value}>{word}</option>)}
      </select>
      : <input key={name} type="search" class="mono" placeholder={label} aria-label={label} value={param(name)} spellcheck={false}
        ref={index === 0 ? first : undefined} onInput={(event) => {
          const { value } = event.currentTarget;
          clearTimeout(timer.current);
          timer.current = setTimeout(() => setParams({ [name]: value, page: "" }), TYPING_MS);
        }} />)}
  </div>;
}
