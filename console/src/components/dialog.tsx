// A modal dialog of the browser's own: it keeps the focus, closes with Escape and gives the focus back.

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface DialogProps {
  id: string;
  title: string;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ id, title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const there = useRef(true);
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => {
      // Closing gives the focus back; what it then tells is news to nobody.
      there.current = false;
      dialog?.close();
    };
  }, []);
  const closed = () => {
    if (there.current) onClose();
  };
  const outside = (event: MouseEvent) => {
    if (event.target === element.current) onClose();
  };
  return (
    <dialog ref={element} id={id} aria-labelledby={`${id}-title`} onClose={closed} onClick={outside}>
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={`${id}-title`}>{title}</h2>
          <button type="button" class="quiet" onClick={onClose}>
            close
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
