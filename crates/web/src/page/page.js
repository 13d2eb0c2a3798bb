// Fetches the page again while somebody looks at it, and exchanges what has changed. Without it the page is whole, too.
'use strict';
(() => {
  const sign = document.getElementById('live');
  let busy = false;

  function say(text, off) {
    if (sign.textContent !== text) sign.textContent = text;
    sign.classList.toggle('off', off);
  }

  function prepare() {
    for (const button of document.querySelectorAll('button[data-copy]')) button.hidden = false;
    for (const time of document.querySelectorAll('time')) {
      time.title = new Date(time.dateTime).toLocaleString();
    }
  }

  function isSelecting(element) {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && element.contains(selection.anchorNode);
  }

  // Makes a node like another one, and leaves what is the same where it is, so that nobody loses the focus.
  function match(node, fresh) {
    if (node.nodeName !== fresh.nodeName || node.id !== fresh.id) {
      node.replaceWith(fresh);
      return;
    }
    if (node.nodeType !== Node.ELEMENT_NODE) {
      if (node.data !== fresh.data) node.data = fresh.data;
      return;
    }
    if (isSelecting(node) && node.matches('pre, code')) return;
    // What a button says of a copy stays until its time is over.
    if (node.matches('[data-copy]') && node.dataset.copy === fresh.dataset.copy) return;
    for (const { name } of [...node.attributes]) {
      if (!fresh.hasAttribute(name)) node.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    }
    const [nodes, others] = [[...node.childNodes], [...fresh.childNodes]];
    others.forEach((other, at) => (at < nodes.length ? match(nodes[at], other) : node.append(other)));
    nodes.slice(others.length).forEach((rest) => rest.remove());
  }

  function exchange(other) {
    for (const element of document.querySelectorAll('[data-live]')) {
      const fresh = other.getElementById(element.id);
      if (fresh) match(element, fresh);
    }
    document.title = other.title;
    prepare();
  }

  async function load(address) {
    if (busy) return false;
    busy = true;
    try {
      const answer = await fetch(address, { cache: 'no-store', signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(answer.status);
      exchange(new DOMParser().parseFromString(await answer.text(), 'text/html'));
      say('● live', false);
      return true;
    } catch (error) {
      say('✕ no answer: what you see may be old', true);
      return false;
    } finally {
      busy = false;
    }
  }

  async function go(address, isNew) {
    while (busy) await new Promise((done) => setTimeout(done, 20));
    if (isNew) history.pushState(null, '', address);
    await load(address);
  }

  document.addEventListener('click', async (event) => {
    const button = event.target.closest('button[data-copy]');
    if (button) {
      const text = document.getElementById(button.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = 'Copied';
      } catch {
        getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
        button.textContent = 'Selected';
      }
      setTimeout(() => (button.textContent = 'Copy'), 2000);
      return;
    }
    const link = event.target.closest('[data-live] a');
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const address = new URL(link.href.baseVal || link.href, location.href);
    if (address.pathname !== location.pathname || address.origin !== location.origin) return;
    event.preventDefault();
    go(address.href, true);
  });

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('pre, input, select')) return;
    const id = { ArrowLeft: 'previous', ArrowRight: 'next' }[event.key];
    const link = id && document.getElementById(id);
    if (!link) return;
    event.preventDefault();
    go(link.href, true);
  });

  addEventListener('popstate', () => go(location.href, false));

  async function forever() {
    for (;;) {
      const pause = document.querySelector('[data-pause]')?.dataset.pause ?? 2000;
      await new Promise((done) => setTimeout(done, pause));
      if (!document.hidden) await load(location.href);
    }
  }

  prepare();
  say('● live', false);
  forever();
})();
