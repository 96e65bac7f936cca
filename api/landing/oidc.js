/* Where the provider sends the browser back to: hands over what came with the address, and goes on to the pages.
 *
 * The session's cookie and that of this sign-in are SameSite=Strict: they do not come with the provider's redirect, and
 * do come with a request of this page.
 */
(function () {
  "use strict";
  var came = new URLSearchParams(location.search);
  history.replaceState(null, "", location.pathname); // a code is no business of the history's

  function failed(why) {
    document.getElementById("wait").hidden = true;
    document.getElementById("failed").hidden = false;
    var line = document.getElementById("why");
    line.textContent = why || "";
    line.hidden = !why;
  }

  var given = { state: came.get("state") || "", code: came.get("code") || "" };
  if (came.get("iss") !== null) given.iss = came.get("iss");
  if (!given.state || !given.code) {
    failed("");
    return;
  }
  fetch("/api/v1/oidc/finish", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Makiba": "1" },
    credentials: "same-origin",
    body: JSON.stringify(given),
  })
    .then(function (answer) {
      if (answer.ok) {
        location.replace("/");
        return undefined;
      }
      return answer.json().then(function (problem) {
        failed(problem.detail);
      });
    })
    .catch(function () {
      failed("");
    });
})();
