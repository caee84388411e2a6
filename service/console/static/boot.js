{
__sveltekit_1vzggm = {
base: "/console",
version: "0.3.0",
assets: "/console"
};

const element = document.currentScript.parentElement;

import("/console/_app/immutable/entry/start.wdU7paUj.js").then(async (kit) => {
kit.init(__sveltekit_1vzggm);
const app = await import("/console/_app/immutable/entry/app.CzdJ7vFL.js");
kit.start(app, element);
});
}
