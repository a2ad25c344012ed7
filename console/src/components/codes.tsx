// CODES: what was given away, as it happens, with the reason.

import { memo } from "./memo.ts";
import type { Code } from "../api.ts";
import { clock, count, dateTime, type Zone } from "../format.ts";
import { reasonText, STATE_SHAPES } from "../reason.ts";
import type { Cell } from "../cover.ts";
import { Mark } from "./mark.tsx";
import { Empty, Loading, Section } from "./section.tsx";

interface CodesProps {
  codes: Code[] | null;
  zone: Zone;
  onWhy: (promotion: string) => void;
  onCell: (cell: Cell) => void;
}

export const CodesSection = memo(function CodesSection({ codes, zone, onWhy, onCell }: CodesProps) {
  return (
    <Section id="codes" title="Codes" note={codes !== null && codes.length > 0 && <States codes={codes} />}>
      {codes === null ? (
        <Loading text="waiting for the ledger" />
      ) : codes.length === 0 ? (
        <Empty
          text="Each promotion code appears here the moment it is issued, with its reason. None has been yet: a rule must be enabled, and somebody must meet it."
          command="tidewater rules explain --customer 7 --product 2"
        />
      ) : (
        <ol class="feed" tabIndex={0} aria-label="codes, newest first">
          {codes.map((code) => (
            <Entry key={code.promotion_id} code={code} zone={zone} onWhy={onWhy} onCell={onCell} />
          ))}
        </ol>
      )}
    </Section>
  );
});

function States({ codes }: { codes: Code[] }) {
  const found = (state: Code["state"]) => codes.filter((code) => code.state === state).length;
  return (
    <p class="tally">
      the last <span class="num">{codes.length}</span>: <span class="num">{found("dispatched")}</span> dispatched,{" "}
      <span class="num">{found("redeemed")}</span> redeemed
    </p>
  );
}

interface EntryProps {
  code: Code;
  zone: Zone;
  onWhy: (promotion: string) => void;
  onCell: (cell: Cell) => void;
}

const Entry = memo(function Entry({ code, zone, onWhy, onCell }: EntryProps) {
  return (
    <li class={`entry ${code.state}`} data-promotion={code.promotion_id}>
      <time class="num" dateTime={code.issued_at} title={dateTime(code.issued_at, zone)}>
        {clock(code.issued_at, zone)}
      </time>
      <span class="entry-code num">{code.code}</span>
      <span class="entry-discount num">−{count(code.discount_percent)} %</span>
      <span class="entry-state">
        <Mark shape={STATE_SHAPES[code.state]} /> {code.state}
      </span>
      <span class="entry-reason">
        {reasonText(code.reason)} ·{" "}
        <button type="button" class="link" onClick={() => onCell({ store: code.store_id, product: code.product_id })}>
          store {code.store_id}, product {code.product_id}
        </button>
        {code.source === "batch" && " · nightly batch"}
      </span>
      <button type="button" class="link why-link" aria-label={`why ${code.code}`} onClick={() => onWhy(code.promotion_id)}>
        why ▸
      </button>
    </li>
  );
});
