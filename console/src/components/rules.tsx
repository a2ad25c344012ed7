// RULES: the table of rules, edited in place by whoever has a key.

import { memo } from "./memo.ts";
import { useState } from "preact/hooks";
import type { Rule } from "../api.ts";
import { readRules } from "../client.ts";
import { useAsked } from "../hooks.ts";
import { COLUMNS, GROUPS, shown, type Column } from "../rules.ts";
import { RuleEditor } from "./rule-editor.tsx";
import { Empty, Loading, Section, Trouble } from "./section.tsx";

interface RulesProps {
  generation: number;
  /** Asks for a key, saying why, and answers it; null when the person gives none. */
  askKey: (reason: string) => Promise<string | null>;
}

/** What is edited: a rule by its id, or a new one. */
type Editing = { rule: number; column: Column } | "new" | null;

const EVERY_MS = 15_000;

export const RulesSection = memo(function RulesSection({ generation, askKey }: RulesProps) {
  const asked = useAsked({ key: "rules", generation, read: readRules, everyMs: EVERY_MS });
  const [editing, setEditing] = useState<Editing>(null);
  const rules = asked.answer;

  const saved = (rule: Rule) => {
    asked.put([...(rules ?? []).filter(({ rule_id }) => rule_id !== rule.rule_id), rule]);
    setEditing(null);
    asked.again();
  };
  const editor = (rule: Rule | null, column: Column) => (
    <RuleEditor key={rule?.rule_id ?? "new"} rule={rule} column={column} askKey={askKey} onSaved={saved} onCancel={() => setEditing(null)} />
  );

  return (
    <Section
      id="rules"
      title="Rules"
      note={
        <>
          <span>in effect within a minute; disabled, never deleted</span>
          <button type="button" class="quiet" disabled={editing === "new"} onClick={() => setEditing("new")}>
            add a rule
          </button>
        </>
      }
    >
      {asked.problem !== null && <Trouble problem={asked.problem} />}
      {rules === null ? (
        asked.problem === null && <Loading text="reading the rules" />
      ) : rules.length === 0 && editing !== "new" ? (
        <Empty text="Who earns a code is a row here, of the table promotion_rule. There is none yet: add one with a key, or in psql." command="insert into promotion_rule (name) values ('premium overstock');" />
      ) : (
        <div class="table-scroll">
          <table class="rules-table" role="table">
            <RulesHead />
            <tbody role="rowgroup">
              {editing === "new" && editor(null, "name")}
              {[...rules]
                .sort((left, right) => left.rule_id - right.rule_id)
                .map((rule) =>
                  editing !== null && editing !== "new" && editing.rule === rule.rule_id ? (
                    editor(rule, editing.column)
                  ) : (
                    <RuleRow key={rule.rule_id} rule={rule} onEdit={(column) => setEditing({ rule: rule.rule_id, column })} />
                  ),
                )}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  );
});

function RulesHead() {
  return (
    <thead role="rowgroup">
      <tr class="groups" aria-hidden="true">
        {GROUPS.map(({ name, columns }) => (
          <td key={name} colSpan={columns.length} class="first">
            {name}
          </td>
        ))}
        <td />
      </tr>
      <tr role="row">
        {COLUMNS.map(({ column, label, kind, group }, index) => (
          <th key={column} scope="col" role="columnheader" class={`kind-${kind} ${COLUMNS[index - 1]?.group === group ? "" : "first"}`}>
            {label}
          </th>
        ))}
        <th scope="col" role="columnheader">
          <span class="hidden">edit</span>
        </th>
      </tr>
    </thead>
  );
}

function RuleRow({ rule, onEdit }: { rule: Rule; onEdit: (column: Column) => void }) {
  return (
    <tr role="row" data-rule={rule.rule_id} class={rule.enabled ? "" : "disabled"}>
      {COLUMNS.map((shape, index) => (
        <td
          key={shape.column}
          role="cell"
          data-column={shape.column}
          data-label={shape.label}
          class={`kind-${shape.kind} ${COLUMNS[index - 1]?.group === shape.group ? "" : "first"}`}
          onDblClick={() => onEdit(shape.column)}
        >
          <span class={shape.kind === "number" ? "num" : ""}>{shown(shape, rule)}</span>
        </td>
      ))}
      <td role="cell" class="row-end">
        <button type="button" class="quiet" aria-label={`edit ${rule.name}`} onClick={() => onEdit("discount_percent")}>
          edit
        </button>
      </td>
    </tr>
  );
}
