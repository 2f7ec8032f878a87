/** Wheel, drag, pinch, double click and keys in a pane: they move and zoom all panes of its group. */

/** `pane` {window}; `group` has zoom, move, point, where, reset, say and the present scale, size and wheel. */
export function gestures(pane, group) {
  const { window } = pane;
  const touches = new Map();
  const local = (event) => {
    const box = window.getBoundingClientRect();
    return [event.clientX - box.left - window.clientLeft, event.clientY - box.top - window.clientTop];
  };

  window.addEventListener(
    "wheel",
    (event) => {
      if (!(group.wheel || event.ctrlKey || window.matches(":focus"))) return;
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 20 : 1;
      group.zoom(
        Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)),
        group.where(...local(event)) ?? group.center,
      );
    },
    { passive: false },
  );

  window.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    window.setPointerCapture(event.pointerId);
    touches.set(event.pointerId, local(event));
  });

  window.addEventListener("pointermove", (event) => {
    const now = local(event);
    const before = touches.get(event.pointerId);
    if (before && touches.size === 2) pinch(event.pointerId, before, now);
    else if (before) drag(before, now);
    if (before) touches.set(event.pointerId, now);
    group.point(group.where(...now), pane);
  });

  const lift = (event) => touches.delete(event.pointerId);
  window.addEventListener("pointerup", lift);
  window.addEventListener("pointercancel", lift);
  window.addEventListener("pointerleave", () => {
    if (!window.matches(":focus-visible")) group.point(null);
  });
  window.addEventListener("dblclick", (event) =>
    group.scale > 1.01 ? group.reset() : group.zoom(3, group.where(...local(event)) ?? group.center),
  );
  window.addEventListener("blur", () => group.point(null));
  window.addEventListener("keydown", keyed);

  function drag(before, now) {
    group.move(...[0, 1].map((axis) => (before[axis] - now[axis]) / (group.size[axis] * group.scale)));
  }

  /** Two fingers: zoom by how their distance changed, about their middle. */
  function pinch(id, before, now) {
    const [, other] = [...touches].find(([each]) => each !== id);
    const distance = (point) => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]));
    const middle = group.where((now[0] + other[0]) / 2, (now[1] + other[1]) / 2) ?? group.center;
    group.zoom(distance(now) / distance(before), middle);
    drag(
      before.map((value) => value / 2),
      now.map((value) => value / 2),
    );
  }

  /** Arrows move the pointer from pixel to pixel, far enough to be seen; the picture follows at its edge. */
  function keyed(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const from = group.cursor ?? group.center;
    const wide = Math.max(1, Math.round(((event.shiftKey ? 0.1 : 0.015) * group.width) / group.scale));
    const step = [wide / group.width, wide / group.height];
    const to = from.map((value, axis) => Math.min(1 - 1e-6, Math.max(0, value + way[axis] * step[axis])));
    const half = [0, 1].map((axis) => group.room[axis] / 2 / (group.size[axis] * group.scale));
    const out = to.map(
      (value, axis) =>
        Math.max(0, Math.abs(value - group.center[axis]) - half[axis]) * Math.sign(value - group.center[axis]),
    );
    group.cursor = to;
    if (out.some(Boolean)) group.move(...out);
    group.point(to, pane);
    group.say();
  }
}
