// The browser's end of the wire: draws the document that came with the page, then keeps it and the
// one in the kernel alike. What Voila has for this serves any notebook, and takes ninety requests.
(() => {
  const PROTOCOL = 'v1.kernel.websocket.jupyter.org';
  const encode = new TextEncoder(), decode = new TextDecoder();
  const settings = JSON.parse(document.getElementById('goodman-kernel').textContent);
  const outputs = [...document.querySelectorAll('script.goodman-output')];
  const page = outputs.map((each) => JSON.parse(each.textContent)).pop();
  const note = document.querySelector('#goodman-wait p');

  // The kernel ends with its page.
  addEventListener('pagehide', (event) => {
    const token = (document.cookie.match(/(?:^|; )_xsrf=([^;]*)/) || [])[1];
    if (event.persisted || !token) return;
    const form = new FormData();
    form.append('_xsrf', decodeURIComponent(token));
    navigator.sendBeacon(`${settings.base}voila/api/shutdown/${settings.kernel}`, form);
  });

  // What cannot be drawn is not asked for again and again, each time of a new kernel: first the
  // server is asked, more and more seldom, whether the archive answers this viewer at all.
  const again = (problem) => {
    const TRIES = 'goodman-tries', last = Number(sessionStorage.getItem(TRIES)) || 0;
    const wait = Math.min(5 * 2 ** last, 120), until = Date.now() + 1000 * wait;
    sessionStorage.setItem(TRIES, last + 1);
    const clock = setInterval(async () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (note) note.textContent = left > 0 ? `${problem} Trying again in ${left} s.` : problem;
      if (left > 0) return;
      clearInterval(clock);
      try {
        const limit = AbortSignal.timeout(15000);
        const answer = await fetch(`${settings.base}answers`, {cache: 'no-store', signal: limit});
        if (answer.ok || answer.status < 500) { location.reload(); return; }
        problem = await answer.text() || problem;
      } catch { problem = 'The server of the pages does not answer.'; }
      again(problem);
    }, 500);
  };
  if (!page || page.problem) {
    const problem = (page && page.problem) ||
      'This page could not be drawn; the server\'s log says why.';
    if (note) note.textContent = problem;
    again(problem);
    return;
  }
  sessionStorage.removeItem('goodman-tries');

  // A message of Jupyter's: offsets, then channel, header, parent, metadata, content, buffers.
  const pack = (content) => {
    const header = {msg_id: crypto.randomUUID ? crypto.randomUUID() : String(Math.random()).slice(2),
      msg_type: 'comm_msg', username: '', session: settings.session, version: '5.3',
      date: new Date().toISOString()};
    const parts = ['shell', JSON.stringify(header), '{}', '{}', JSON.stringify(content)]
      .map((part) => encode.encode(part));
    const n_offsets = parts.length + 1;
    const whole = new Uint8Array(8 * (n_offsets + 1) +
      parts.reduce((sum, part) => sum + part.length, 0));
    const view = new DataView(whole.buffer);
    view.setBigUint64(0, BigInt(n_offsets), true);
    let at = 8 * (n_offsets + 1);
    parts.forEach((part, i) => {
      view.setBigUint64(8 * (i + 1), BigInt(at), true);
      whole.set(part, at);
      at += part.length;
    });
    view.setBigUint64(8 * n_offsets, BigInt(at), true);
    return whole;
  };
  const unpack = (buffer) => {
    const view = new DataView(buffer);
    const n_offsets = Number(view.getBigUint64(0, true));
    const at = (i) => Number(view.getBigUint64(8 * (i + 1), true));
    const part = (i) => buffer.slice(at(i), at(i + 1));
    const json = (i) => JSON.parse(decode.decode(part(i)));
    const header = json(1);
    if (header.msg_type !== 'comm_msg') return null;
    const buffers = [];
    for (let i = 5; i < n_offsets - 1; i++) buffers.push(part(i));
    return {content: json(4), buffers};
  };

  // The document
  const {Document} = Bokeh.require('document');
  const {Receiver} = Bokeh.require('protocol/receiver');
  const {Serializer} = Bokeh.require('core/serialization');
  const {Deserializer} = Bokeh.require('core/serialization/deserializer');
  const {add_document_standalone} = Bokeh.require('embed/standalone');
  const receiver = new Receiver();
  const doc = Document.from_json(JSON.parse(page.document));
  const place = document.getElementById('goodman-page');
  const roots = Object.fromEntries(page.roots.map((id) => [id, place]));
  // The bar of the pages says when it is there; a view that has none is there a little later.
  const ready = () => document.dispatchEvent(new Event('goodman-live-ready'));
  Promise.resolve(add_document_standalone(doc, place, roots)).then(() => setTimeout(ready, 700));

  let seen = page.number, applying = false, socket = null, wait = 250, waiting = [];
  const later = [];
  const apply = (data, buffers) => {
    if (data.number !== seen + 1) return;  // seen before
    if (data.defs.length) new Deserializer(doc.resolver).decode(data.defs);
    for (const part of [data.header, data.metadata, data.content]) receiver.consume(part);
    data.refs.forEach((ref, i) => { receiver.consume(ref); receiver.consume(buffers[i]); });
    seen = data.number;
    applying = true;
    try { doc.apply_json_patch(receiver.message.content, receiver.message.buffers); }
    finally {
      applying = false;
      later.splice(0).forEach(changed);
    }
  };
  const changed = (event) => {
    if (!event.sync) return;  // what the kernel said itself
    if (applying) { later.push(event); return; }
    const references = new Map();
    for (const model of event.document._all_models.values()) references.set(model, model.ref());
    send({event: new Serializer({references}).encode(event)});
  };
  doc.on_change(changed);

  // The line
  const put = (data) => socket.send(pack({comm_id: page.comm, data}));
  const send = (data) => {
    if (socket && socket.readyState === 1) put({seen, ...data});
    else waiting.push(data);
  };
  const received = ({data}) => {
    if (typeof data === 'string') return;
    const message = unpack(data);
    if (!message || message.content.comm_id !== page.comm) return;
    const told = message.content.data;
    if (told.stale) location.reload();
    else if (told.number) apply(told, message.buffers);
    else if ('welcome' in told) {
      wait = 250;
      waiting.splice(0).forEach(send);
      dispatchEvent(new Event('goodman-socket-open'));
    }
  };
  const connect = () => {
    const address = new URL(`${settings.base}api/kernels/${settings.kernel}/channels`, location.href);
    address.protocol = address.protocol.replace('http', 'ws');
    address.searchParams.set('session_id', settings.session);
    socket = new WebSocket(address, [PROTOCOL]);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => put({hello: true, seen});
    socket.onmessage = received;
    socket.onclose = () => {
      dispatchEvent(new Event('goodman-socket-closed'));
      wait = Math.min(2 * wait, 4000);
      setTimeout(connect, wait);
    };
  };
  addEventListener('goodman-kernel-gone', () => { socket.onclose = null; socket.close(); });
  connect();
})();
