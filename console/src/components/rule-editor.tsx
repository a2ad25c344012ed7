// One row of the table of rules while it is edited. Only the columns that were changed are sent.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Rule } from "../api.ts";
import { Problem, writeRule } from "../client.ts";
import { heldKey } from "../preferences.ts";
import { changes, COLUMNS, draftOf, GROUPS, type Column, type ColumnShape, type Draft } from "../rules.ts";

interface RuleEditorProps {
  /** Null for a new one. */
  rule: Rule | null;
  /** Where the cursor stands at first. */
  column: Column;
  askKey: (reason: string) => Promise<string | null>;
  onSaved: (rule: Rule) => void;
  onCancel: () => void;
}

const NEEDED = "A key with the scope rules:write changes rules.";

export function RuleEditor({ rule, column, askKey, onSaved, onCancel }: RuleEditorProps) {
  // What somebody else changes meanwhile must not be undone by what stands in the inputs.
  const [base] = useState(rule);
  const [draft, setDraft] = useState<Draft>(() => draftOf(base));
  const [problem, setProblem] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);
  const row = useRef<HTMLTableRowElement>(null);

  useEffect(() => {
    row.current?.querySelector<HTMLElement>(`[name="${column}"]`)?.focus();
  }, []);
  useEffect(() => {
    if (problem?.field) row.current?.querySelector<HTMLElement>(`[name="${problem.field}"]`)?.focus();
  }, [problem]);

  const save = async () => {
    const columns = changes(base, draft);
    if (Object.keys(columns).length === 0) return onCancel();
    setBusy(true);
    setProblem(null);
    try {
      const written = await writeWithKey(rule, columns, askKey);
      if (written !== null) return onSaved(written);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, String(error)));
    }
    setBusy(false);
  };
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !(event.target instanceof HTMLButtonElement)) {
      event.preventDefault();
      void save();
    } else if (event.key === "Escape") {
      onCancel();
    }
  };

  const field = (shape: ColumnShape) => (
    <Field
      key={shape.column}
      shape={shape}
      value={draft[shape.column]}
      problem={problem?.field === shape.column ? problem.message : null}
      onInput={(text) => setDraft((before) => ({ ...before, [shape.column]: text }))}
    />
  );
  const atField = COLUMNS.some(({ column: name }) => name === problem?.field);
  return (
    <tr ref={row} role="row" class="editing" data-rule={rule?.rule_id ?? "new"} onKeyDown={pressed}>
      <td role="cell" colSpan={COLUMNS.length + 1}>
        <div class="rule-form">
          {GROUPS.map(({ name, columns }) => (
            <fieldset key={name}>
              <legend>{name === "" ? (rule === null ? "new rule" : `rule ${rule.rule_id}`) : name}</legend>
              {columns.map(field)}
            </fieldset>
          ))}
        </div>
        <div class="buttons">
          <button type="button" class="primary" disabled={busy} onClick={() => void save()}>
            save
          </button>
          <button type="button" class="quiet" onClick={onCancel}>
            cancel
          </button>
          {rule === null && <span class="foot">what is left empty gets its default</span>}
          {problem !== null && !atField && (
            <span class="field-problem" role="alert">
              {problem.message}
            </span>
          )}
        </div>
      </td>
    </tr>
  );
}

/** Asks for a key when there is none, and again while the server takes none of them. Null: the person gave none. */
async function writeWithKey(
  rule: Rule | null,
  columns: Partial<Rule>,
  askKey: (reason: string) => Promise<string | null>,
): Promise<Rule | null> {
  let key = heldKey() ?? (await askKey(NEEDED));
  while (key !== null) {
    try {
      return await writeRule(rule?.rule_id ?? null, columns, key);
    } catch (error) {
      if (!(error instanceof Problem) || (error.status !== 401 && error.status !== 403)) throw error;
      key = await askKey(`The server says: ${error.message}. ${NEEDED} A new one holds after two seconds.`);
    }
  }
  return null;
}

interface FieldProps {
  shape: ColumnShape;
  value: string;
  problem: string | null;
  onInput: (text: string) => void;
}

function Field({ shape, value, problem, onInput }: FieldProps) {
  const described = problem === null ? undefined : `problem-${shape.column}`;
  const shared = { name: shape.column, "aria-invalid": problem !== null, "aria-describedby": described };
  return (
    <div class="field" data-column={shape.column}>
      <label>
        <span class="field-name">
          {shape.label}
          {shape.unit !== undefined && ` ${shape.unit}`}
        </span>
        <Input shape={shape} value={value} shared={shared} onInput={onInput} />
      </label>
      {problem !== null && (
        <span class="field-problem" id={described} role="alert">
          {problem}
        </span>
      )}
    </div>
  );
}

interface InputProps {
  shape: ColumnShape;
  value: string;
  shared: { name: string; "aria-invalid": boolean; "aria-describedby": string | undefined };
  onInput: (text: string) => void;
}

function Input({ shape, value, shared, onInput }: InputProps) {
  switch (shape.kind) {
    case "flag":
      return <input {...shared} type="checkbox" checked={value === "true"} onInput={(event) => onInput(String(event.currentTarget.checked))} />;
    case "choice":
      return (
        <select {...shared} value={value} onInput={(event) => onInput(event.currentTarget.value)}>
          {[...new Set([value, ...(shape.choices ?? [])])].map((choice) => (
            <option key={choice} value={choice}>
              {choice === "" ? "default" : choice}
            </option>
          ))}
        </select>
      );
    default:
      return (
        <input
          {...shared}
          type="text"
          class={shape.kind === "number" ? "num" : ""}
          inputMode={shape.kind === "number" ? "decimal" : "text"}
          size={shape.width}
          value={value}
          autocomplete="off"
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      );
  }
}
