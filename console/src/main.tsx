// Draws the page into the document.

import { render } from "preact";
import { App } from "./app.tsx";
import { applyTheme, chosenTheme } from "./preferences.ts";

const theme = chosenTheme();
if (theme !== null) applyTheme(theme);

const place = document.getElementById("console");
if (place !== null) render(<App />, place);
