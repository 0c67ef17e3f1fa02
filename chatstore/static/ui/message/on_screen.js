// Tells a component whether its element is on the screen, so that what a reader can only
// use there is made there only.
import { useEffect, useState } from "preact/hooks";

/** @type {WeakMap<Element, (isNear: boolean) => void>} */
const listeners = new WeakMap();
const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    // What has the focus stays, so that a reader who scrolls does not lose it.
    if (isIntersecting || !target.contains(document.activeElement)) listeners.get(target)?.(isIntersecting);
  }
});

/** @param {{ current: Element | null }} ref @returns {boolean} false at first */
export function useIsOnScreen(ref) {
  const [isOnScreen, setOnScreen] = useState(false);
  useEffect(() => {
    const element = /** @type {Element} */ (ref.current);
    listeners.set(element, setOnScreen);
    observer.observe(element);
    return () => observer.unobserve(element);
  }, []);
  return isOnScreen;
}
