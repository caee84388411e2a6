<<<<<<<< HEAD:service/console/static/_app/immutable/chunks/Bt63Ywag.js
import{N as e}from"./BWOJPNoi.js";function t(e){return e.suffix??`${e.model} ${e.id.slice(-6)}`}function n({status:e}){return e===`succeeded`||e===`failed`||e===`cancelled`}var r=3e3;function i(t){return{queryKey:[`jobs`,t],queryFn:({signal:n})=>e.fineTuning.jobs.retrieve(t,{signal:n}),refetchInterval:({state:e})=>e.data&&n(e.data)?!1:r}}export{i as n,t as r,n as t};
========
import{N as e}from"./BtvQeaED.js";function t(e){return e.suffix??`${e.model} ${e.id.slice(-6)}`}function n({status:e}){return e===`succeeded`||e===`failed`||e===`cancelled`}var r=3e3;function i(t){return{queryKey:[`jobs`,t],queryFn:({signal:n})=>e.fineTuning.jobs.retrieve(t,{signal:n}),refetchInterval:({state:e})=>e.data&&n(e.data)?!1:r}}export{i as n,t as r,n as t};
>>>>>>>> review:service/console/static/_app/immutable/chunks/D0dqgWJU.js
