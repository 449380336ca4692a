// Puts new figures in place as the page's stream tells them. The page is whole without it.
"use strict";
const live = document.querySelector("[data-stream]");
if (live) {
  const say = (state) => { live.dataset.state = state; };
  const source = new EventSource(live.dataset.stream);
  source.onopen = () => say("live");
  source.onerror = () => say(source.readyState === EventSource.CLOSED ? "over" : "waiting");
  source.onmessage = (event) => {
    for (const [id, html] of Object.entries(JSON.parse(event.data))) {
      const place = document.getElementById(id);
      if (place) place.innerHTML = html;
    }
  };
}
