<<<<<<<< HEAD:service/console/static/_app/immutable/chunks/BOdAlvXC.js
import"./xihTtKlq.js";import{J as e,_t as t}from"./DVR9uijq.js";import{c as n}from"./BWOJPNoi.js";function r(r,i){{let a=t(()=>i.status===`canceled`?`cancelled`:i.status);n(r,{get status(){return e(a)}})}}export{r as t};
========
import"./xihTtKlq.js";import{J as e,_t as t}from"./DVR9uijq.js";import{c as n}from"./BtvQeaED.js";function r(r,i){{let a=t(()=>i.status===`canceled`?`cancelled`:i.status);n(r,{get status(){return e(a)}})}}export{r as t};
>>>>>>>> review:service/console/static/_app/immutable/chunks/DRFe9uYP.js
