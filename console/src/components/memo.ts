// A component that is drawn again only when one of its properties is another: the page hears something four times a second,
// and most of it concerns one section. (preact/compat has this too, with much else.)

import { Component, h, type ComponentType, type FunctionComponent } from "preact";

export function memo<P extends object>(Inner: FunctionComponent<P>): ComponentType<P> {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Record<string, unknown>;
      const after = next as Record<string, unknown>;
      return Object.keys({ ...before, ...after }).some((name) => !Object.is(before[name], after[name]));
    }

    override render() {
      return h(Inner, this.props as P);
    }
  };
}
