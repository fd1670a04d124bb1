/** A modal dialog; the focus goes back to its opener afterwards. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface Props {
  title: string;
  close?: () => void;
  children: ComponentChildren;
  /** Instead of the title within. */
  bare?: boolean;
  className?: string;
}

export function Dialog({ title, close, children, bare, className }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const opener = document.activeElement;
    const dialog = element.current!;
    dialog.showModal();
    return () => {
      dialog.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return <dialog ref={element} class={className} aria-labelledby={bare ? undefined : id} aria-label={bare ? title : undefined}
    onCancel={(event) => {
      event.preventDefault();
      close?.();
    }}
    onClick={(event) => event.target === element.current && bare && close?.()}>
    {!bare && <h2 id={id}>{title}</h2>}
    {children}
  </dialog>;
}
