// A command or a query, with a button that copies it.

import { useState } from "preact/hooks";

export function Copied({ label, text }: { label: string; text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () => {
    // Without a secure context there is no clipboard; the text can be selected all the same.
    navigator.clipboard?.writeText(text).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), 2_000);
      },
      () => setCopied(false),
    );
  };
  return (
    <div class="copied">
      <div class="copied-head">
        <span>{label}</span>
        <button type="button" class="quiet" onClick={copy}>
          {copied ? "copied" : "copy"}
        </button>
      </div>
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
    </div>
  );
}
