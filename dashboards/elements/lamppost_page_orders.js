import { say, store } from "/assets/store.js";
import { MARKS, stamp } from "/assets/words.js";

export default {
  template: `
    <section v-if="s.post && !s.post_missing && s.may.commands" class="panel" aria-labelledby="orders-title">
      <div class="panel-head"><h2 id="orders-title">Commands</h2></div>
      <form v-if="s.may.command" class="ordering" @submit.prevent="tell">
        <label class="stack"><span>Tell it to</span><select v-model="command"><option v-for="c in s.orders_offered" :key="c.key" :value="c.key">{{ c.title }}</option></select></label>
        <label class="stack"><span>Why (optional)</span><input type="text" v-model="why" maxlength="500" autocomplete="off" placeholder="kept with your name"></label>
        <p class="do"><button type="submit" class="primary" :disabled="busy">Tell it</button></p>
        <p v-if="problem" class="tone-bad" role="alert"><span v-html="marks.error"></span>{{ problem }}</p>
      </form>
      <p v-if="!s.post_orders?.length" class="empty">{{ s.post_orders ? 'It was told nothing yet.' : 'Reading.' }}</p>
      <div v-else class="scroll" tabindex="0" role="region" aria-label="What this lamppost was told"><table class="orders">
        <thead><tr><th scope="col">Command</th><th scope="col">State</th><th scope="col">Asked</th><th scope="col">What came of it</th></tr></thead>
        <tbody><tr v-for="o in s.post_orders" :key="o.id">
          <td>{{ o.title }}<span v-if="o.reason" class="muted"><br>{{ o.reason }}</span></td>
          <td class="nowrap"><span :class="o.tone"><span v-html="marks[o.mark]"></span>{{ o.state }}</span></td>
          <td class="num nowrap">{{ stamp(o.asked) }}<br><span class="muted">{{ o.by }}</span></td>
          <td>{{ o.detail }}<span v-for="r in o.result" :key="r.name"><br><strong>{{ r.name }}</strong> {{ r.text }}</span>
            <button v-if="o.kilobytes" type="button" :disabled="busy" @click="ask('save', o)">Save the file, {{ o.kilobytes }} kB</button>
            <template v-if="o.open && s.may.command">
              <button v-if="taken !== o.id" type="button" :disabled="busy" :aria-label="'Take back: ' + o.title" @click="sure(o)">Take it back…</button>
              <form v-else class="taking" @submit.prevent="ask('cancel', o, { why: gone })"><label class="why"><span class="label">Why (optional)</span><input type="text" v-model="gone" maxlength="500" autocomplete="off"></label>
                <p class="do"><button type="submit" :disabled="busy">Take it back</button><button type="button" class="link" @click="taken = 0">Leave it</button></p></form></template></td></tr></tbody></table></div>
    </section>`,
  data: () => ({ s: store, marks: MARKS, command: "ping", why: "", taken: 0, gone: "", asked: "", busy: false, problem: "" }),
  methods: {
    stamp,
    tell() {
      [this.busy, this.asked] = [true, "tell"];
      this.$emit("order", { what: "tell", command: this.command, why: this.why });
    },
    sure(order) {
      [this.taken, this.gone] = [order.id, ""];
      this.$nextTick(() => this.$el.querySelector(".taking input")?.focus());
    },
    ask(what, order, more) {
      [this.busy, this.asked] = [true, what];
      this.$emit("order", { what, number: order.id, ...more });
    },
    answered(problem) { // called by the server
      [this.busy, this.problem] = [false, problem];
      if (problem) return say(problem);
      if (this.asked === "tell") this.why = "";
      if (this.asked === "cancel") this.taken = 0;
    },
  },
};
