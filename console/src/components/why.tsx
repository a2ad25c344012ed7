// "Why ▸": the figures of a rule, the change that caused the code, and the query that gives the same in psql.

import type { Code, ExplainedTuple, Why } from "../api.ts";
import { readWhy } from "../client.ts";
import { count, dateTime, NONE, type Zone } from "../format.ts";
import { useAsked } from "../hooks.ts";
import { causeText, reasonText } from "../reason.ts";
import { Copied } from "./copied.tsx";
import { Dialog } from "./dialog.tsx";
import { Mark } from "./mark.tsx";
import { Loading, Trouble } from "./section.tsx";

interface WhyProps {
  promotion: string;
  zone: Zone;
  onClose: () => void;
}

export function WhyDialog({ promotion, zone, onClose }: WhyProps) {
  const { answer, problem } = useAsked<Why>({
    key: promotion,
    generation: 0,
    read: (signal) => readWhy(promotion, signal),
    everyMs: null,
  });
  return (
    <Dialog id="why" title={answer === null ? "Why" : `Why ${answer.code.code}`} onClose={onClose}>
      {problem !== null && <Trouble problem={problem} />}
      {answer === null ? problem === null && <Loading text="reading the figures" /> : <Explained why={answer} zone={zone} />}
    </Dialog>
  );
}

function Explained({ why, zone }: { why: Why; zone: Zone }) {
  const { code, explanation } = why;
  return (
    <>
      <p class="why-reason">
        <strong class="num">−{count(code.discount_percent)} %</strong> under “{code.rule}” for customer {code.customer_id}, store{" "}
        {code.store_id}, product {code.product_id}: {reasonText(code.reason)}.
      </p>
      <Facts code={code} zone={zone} />
      <h3>
        The rule as it stands now <span class="aside">at {dateTime(explanation.at, zone)}, {explanation.state}</span>
      </h3>
      {explanation.tuples.length === 0 && <p>No tuple of this rule is there any more.</p>}
      {explanation.tuples.map((tuple) => (
        <Conditions key={`${tuple.rule_id} ${tuple.store_id} ${tuple.product_id}`} tuple={tuple} />
      ))}
      <h3>The same elsewhere</h3>
      <Copied label="command" text={why.command} />
      <Copied label="query, in psql on the sink" text={why.query} />
    </>
  );
}

function Facts({ code, zone }: { code: Code; zone: Zone }) {
  const time = (at: string | null) => (at === null ? NONE : dateTime(at, zone));
  const facts: [string, string][] = [
    ["cause", causeText(code.reason.cause)],
    ["position of it", code.reason.cause_position ?? NONE],
    ["on hand then", count(code.reason.on_hand)],
    ["issued", time(code.issued_at)],
    ["dispatched", time(code.dispatched_at)],
    ["redeemed", time(code.redeemed_at)],
    ["valid until", time(code.valid_until)],
    ["decided by", code.source],
    ["promotion_id", code.promotion_id],
  ];
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name} class={name === "promotion_id" ? "whole" : ""}>
          <dt>{name}</dt>
          <dd class="num">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Conditions({ tuple }: { tuple: ExplainedTuple }) {
  const verdict = tuple.issuable ? "eligible, and a code may be issued" : tuple.eligible ? "eligible, but no code now" : "not eligible";
  return (
    <table class="figures conditions">
      <caption>
        {tuple.rule}: {verdict}
        {tuple.eligible !== tuple.listed && (tuple.listed ? "; still listed as eligible" : "; not listed as eligible yet")}
      </caption>
      <thead>
        <tr>
          <th scope="col">holds</th>
          <th scope="col">condition</th>
          <th scope="col">decides</th>
          <th scope="col">figures</th>
        </tr>
      </thead>
      <tbody>
        {tuple.conditions.map(({ name, decides, holds, figures }) => (
          <tr key={`${decides} ${name}`} class={holds ? "holds" : "fails"}>
            <td>
              <Mark shape={holds ? "disc" : "cross"} /> {holds ? "yes" : "no"}
            </td>
            <th scope="row">{name}</th>
            <td>{decides}</td>
            <td class="condition-figures">{figures}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
