import { store } from "/assets/store.js";
import { MARKS, age, clock, plural, stamp } from "/assets/words.js";

export default {
  template: `
    <div class="notices">
      <div v-if="!s.socket" class="notice tone-bad" role="alert"><span v-html="marks.offline"></span><div><strong>This page has lost its server.</strong> What you see is from {{ lost }}. It reconnects by itself.</div></div>
      <div v-else-if="s.fault" class="notice tone-bad" role="alert" data-notice="fault"><span v-html="marks.error"></span><div><strong>{{ s.fault.title }}</strong> What you see is from {{ clock(s.fault.since) }} (street clock). {{ s.fault.detail }}</div></div>
      <section v-if="s.used_twice.length" class="notice tone-bad" aria-labelledby="twice-title" data-notice="used-twice">
        <span v-html="marks.error"></span>
        <div class="grow" role="alert">
          <p class="line"><strong id="twice-title">{{ plural(s.used_twice.length, 'claim was', 'claims were') }} used twice</strong></p>
          <ul><li v-for="a in s.used_twice.slice(0, most)" :key="a.id"><p><code>{{ a.claim }}</code><template v-if="a.name">, {{ a.name }}</template>: a second key asked with it {{ age(wall() - a.at) }} ago. <a :href="'/batches#alarm-' + a.id">Look at it</a></p></li></ul>
          <p v-if="s.used_twice.length > most"><a href="/batches#alarms">All {{ s.used_twice.length }}</a></p>
        </div>
      </section>
      <section v-if="s.pending.length" class="notice pending" aria-labelledby="pending-title">
        <span v-html="marks.info"></span>
        <div class="grow">
          <p class="line"><strong id="pending-title">{{ plural(s.pending.length, 'lamppost waits', 'lampposts wait') }} to be accepted</strong>
            <button type="button" class="link" :aria-expanded="open" aria-controls="pending-list" @click="open = !open">{{ open ? 'Hide' : 'Review' }}</button></p>
          <ul v-if="open" id="pending-list">
            <li v-for="p in s.pending" :key="p.id">
              <p><strong>{{ p.name }}</strong> <span class="muted">&nbsp;{{ p.site }} asked {{ age(wall() - p.asked) }} ago<template v-if="p.claim">, claim {{ p.claim }}</template></span></p>
              <p class="muted">{{ s.may.decide ? 'Compare' : 'An operator compares' }} with the fingerprint that <code>lamppost agent enrol</code> shows on the lamppost{{ s.may.decide ? '' : ', and decides' }}:</p>
              <p><code class="finger" :aria-label="'Key fingerprint ' + p.fingerprint"><template v-for="part in p.fingerprint.split(/(?<=:)/)">{{ part }}<wbr></template></code></p>
              <p v-if="p.endsAnother" class="tone-bad">There is a lamppost of this name already, with another key. Accept this one only where it takes that one's place: that one's certificates are over then.</p>
              <p v-if="failed[p.id]" class="tone-bad" role="alert">{{ failed[p.id] }}</p>
              <label v-if="s.may.decide" class="why"><span class="label">Why (optional)</span><input type="text" v-model="why[p.id]" maxlength="500" autocomplete="off"></label>
              <p v-if="s.may.decide" class="do"><button type="button" class="primary" :disabled="busy[p.id]" @click="decide(p, true)">Accept {{ p.name }}</button>
                <button type="button" :disabled="busy[p.id]" @click="sure === p.id ? decide(p, false) : (sure = p.id)">{{ sure === p.id ? 'Reject for good' : 'Reject' }}</button>
                <button v-if="sure === p.id" type="button" class="link" @click="sure = null">Keep waiting</button></p>
            </li>
          </ul>
        </div>
      </section>
      <p class="sr" role="status" aria-live="polite">{{ said }}</p>
    </div>`,
  data: () => ({ s: store, marks: MARKS, open: false, sure: null, busy: {}, failed: {}, why: {}, lost: "", said: "", most: 3 }), // most: more would push the page away
  watch: {
    "s.socket"(up) { if (!up) this.lost = clock(this.s.now); },
  },
  methods: {
    age, clock, plural, stamp,
    wall: () => (store.now, Date.now()), // enrolments keep real time, whatever the street clock does
    decide(p, accept) {
      this.busy[p.id] = true;
      delete this.failed[p.id];
      this.$emit("decide", { id: p.id, accept, why: this.why[p.id] ?? "" });
    },
    decided(id, name, accept, problem) { // called by the server
      delete this.busy[id];
      this.sure = null;
      if (problem) this.failed[id] = problem;
      else this.said = `${name} ${accept ? "accepted" : "rejected"}`;
    },
  },
};
