"""Tabs as the keyboard and screen readers know them, for bars of tabs whose panels lie beside them.

Panel puts each part into a shadow root of its own, over whose borders no `aria-controls` leads:
so the panels say by themselves what they are, and a browser that can is told which is whose.
"""

# Begins the JavaScript of a bar of tabs. `tabbed` takes the bar's node, its name, and a selector of
# the panels; what it returns puts tabs into the bar: nodes with `aria-selected`, and what the panel
# is called.
TABS_JS = """
const tabbed = (list, name, selector) => {
  list.setAttribute('role', 'tablist'); list.setAttribute('aria-label', name);
  list.onkeydown = (event) => {
    const all = [...list.children], at = all.indexOf(event.target);
    const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1}[event.key];
    if (to == null || at < 0) return;
    event.preventDefault(); event.stopPropagation();
    const next = all.at(to % all.length); next.focus(); next.click();
  };
  const panels = () => {
    for (let root = list.getRootNode(); root.host; root = root.host.getRootNode()) {
      const found = root.host.getRootNode().querySelectorAll(selector);
      if (found.length) return [...found];
    }
    return [];
  };
  return (tabs) => {
    const held = list.contains(list.getRootNode().activeElement);
    const here = tabs.find((tab) => tab.getAttribute('aria-selected') === 'true') ?? tabs[0];
    for (const tab of tabs) {
      tab.setAttribute('role', 'tab'); tab.tabIndex = tab === here ? 0 : -1;
    }
    list.replaceChildren(...tabs);
    if (held) here?.focus();
    requestAnimationFrame(() => {
      if (!list.isConnected || !here) return;
      const found = panels();
      for (const panel of found) {
        panel.setAttribute('role', 'tabpanel');
        panel.setAttribute('aria-label', here.dataset.label ?? here.textContent);
      }
      if ('ariaControlsElements' in here) here.ariaControlsElements = found;
    });
  };
};
"""
