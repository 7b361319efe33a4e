// Entries of JupyterLab's launcher and palette: the live dashboard, and a new notebook on each
// of one's proposals. Plain JavaScript in the form in which JupyterLab loads extensions.
(() => {
  const CATEGORY = "Goodman Live";
  const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><rect width="24"
    height="24" rx="5" fill="#1666b8"/><path d="M3 16h4l2-3 2 4 2-12 2 11h6" fill="none" stroke="#fff"
    stroke-width="1.8" stroke-linejoin="round" stroke-linecap="round"/></svg>`;
  let shared = null;

  async function moduleOf(name) {
    const versions = Object.values(shared[name]);
    return (await versions[versions.length - 1].get())();
  }

  async function plugin() {
    const [{ ILauncher }, { ICommandPalette, Notification }, { ServerConnection }, { LabIcon }, { INotebookTracker }] =
      await Promise.all(["launcher", "apputils", "services", "ui-components", "notebook"].map(
        (name) => moduleOf(`@jupyterlab/${name}`)));
    const icon = new LabIcon({ name: "goodman-live:icon", svgstr: ICON });
    return {
      id: "goodman-live:entries",
      description: "The live dashboard and new notebooks on one's proposals.",
      autoStart: true,
      optional: [ILauncher, ICommandPalette, INotebookTracker],
      activate: async (app, launcher, palette, notebooks) => {
        const settings = ServerConnection.makeSettings();
        const ask = async (path) => {
          const address = settings.baseUrl + path;
          const answer = await ServerConnection.makeRequest(address, {}, settings);
          if (!answer.ok) throw new ServerConnection.ResponseError(answer);
          return answer.json();
        };
        // Kernels die of many things; if the hub ended one for want of room, it says so.
        let seen = Date.now() / 1000;
        const tell = async () => {
          for (const each of await ask("goodman-live/ended").catch(() => [])) {
            if (each.time <= seen) continue;
            seen = each.time;
            const names = each.notebooks.length ? ` (${each.notebooks.join(", ")})` : "";
            Notification.error(each.text + names, { autoClose: false });
          }
        };
        const watch = (panel) => panel.sessionContext.statusChanged.connect((_, status) => {
          if (["autorestarting", "dead"].includes(status)) setTimeout(tell, 500);
        });
        if (notebooks) notebooks.widgetAdded.connect((_, panel) => watch(panel));
        for (const [rank, entry] of (await ask("goodman-live/entries")).entries()) {
          const command = `goodman-live:${rank}`;
          app.commands.addCommand(command, {
            label: entry.label,
            caption: entry.caption,
            icon,
            execute: async () => {
              if (entry.page) {
                window.open(entry.page, "_blank", "noopener");
                return;
              }
              const { path } = await ask(entry.make);
              await app.commands.execute("docmanager:open", { path });
            },
          });
          if (launcher) launcher.add({ command, category: CATEGORY, rank });
          if (palette) palette.addItem({ command, category: CATEGORY });
        }
      },
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["goodman-live"] = {
    init: (scope) => { shared = scope; },
    get: async () => {
      const made = await plugin();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
