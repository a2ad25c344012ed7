// Whatever goes wrong in the page without a case asking for it.

export class Errors {
  constructor(page) {
    this.found = [];
    /** While set, errors that it accepts are expected. */
    this.expected = () => false;
    const add = (text) => {
      if (!this.expected(text)) this.found.push(text);
    };
    page.on("pageerror", (error) => add(`exception: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error") add(`console: ${message.text()} ${message.location().url}`);
    });
    page.on("response", (response) => {
      if (response.status() >= 400) add(`${response.status()} ${response.request().method()} ${response.url()}`);
    });
    // The page itself gives up what it no longer wants, such as the series of a cell that is no longer chosen.
    page.on("requestfailed", (request) => {
      const reason = request.failure()?.errorText ?? "";
      if (reason !== "net::ERR_ABORTED") add(`failed: ${reason} ${request.method()} ${request.url()}`);
    });
  }

  /** Runs `run`, in which errors that `accepts` are expected. */
  async expecting(accepts, run) {
    this.expected = accepts;
    try {
      return await run();
    } finally {
      this.expected = () => false;
    }
  }
}
