import { sharedKafka } from '@chrysalis/testing';
import { createBus } from './src/index.ts';
import { cloudEvent } from './src/tests/support.ts';
const t0=Date.now(); const log=(...a:unknown[])=>console.log(Date.now()-t0,...a);
const k = await sharedKafka(); log('kafka', k);
const bus = createBus({kind:'kafka',brokers:k.brokers,clientId:'x',log:(l,m)=>log(l,m)});
for (let i=0;i<3;i++){
await bus.ensureTopics([{name:'t'+i,partitions:4}]); log('topics');
await bus.publish([{topic:'t'+i,event:cloudEvent('k',1)}]); log('published');
const s = await bus.subscribe({group:'g'+i,topics:['t'+i],handle:async(e)=>log('got',e.length)}); log('subscribed', s.health());
await new Promise(r=>setTimeout(r,1000));
await bus.publish([{topic:'t'+i,event:cloudEvent('k',1)}]); log('published');
await new Promise(r=>setTimeout(r,300));
log('stopping');await s.stop(); log('stopped');}
await bus.close();log('closed');
