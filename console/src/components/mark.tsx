// Small shapes that say a state without colour. Drawn, so that no font decides what they look like.

import type { Shape } from "../stages.ts";

export function Mark({ shape }: { shape: Shape }) {
  return (
    <svg class="mark" viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
      {shape === "disc" && <circle cx="5" cy="5" r="4" fill="currentColor" />}
      {shape === "ring" && <circle cx="5" cy="5" r="3.2" fill="none" stroke="currentColor" stroke-width="1.6" />}
      {shape === "triangle" && <path d="M5 .8 9.6 9.2H.4Z" fill="currentColor" />}
      {shape === "cross" && <path d="m1.5 1.5 7 7m0-7-7 7" stroke="currentColor" stroke-width="2.2" />}
      {shape === "half" && (
        <>
          <circle cx="5" cy="5" r="3.2" fill="none" stroke="currentColor" stroke-width="1.6" />
          <path d="M5 1.5a3.5 3.5 0 0 1 0 7Z" fill="currentColor" />
        </>
      )}
      {shape === "question" && (
        <path d="M3 3.4C3 1 7.4.9 7.2 3.3 7.1 4.8 5 4.8 5 6.4M5 8v1.6" fill="none" stroke="currentColor" stroke-width="1.6" />
      )}
    </svg>
  );
}
