<<<<<<<< HEAD:service/console/static/_app/immutable/chunks/CYRS0AJw.js
import{N as e}from"./BWOJPNoi.js";var t=1500;function n(n){return{queryKey:[`files`,n],queryFn:({signal:t})=>e.files.retrieve(n,{signal:t}),refetchInterval:e=>e.state.data?.status===`uploaded`&&t}}function r(t,n){let r=t.after?{}:{include:[`counts`]};return e.get(`/files`,{query:{...t,...r},signal:n})}export{r as n,n as t};
========
import{N as e}from"./BtvQeaED.js";var t=1500;function n(n){return{queryKey:[`files`,n],queryFn:({signal:t})=>e.files.retrieve(n,{signal:t}),refetchInterval:e=>e.state.data?.status===`uploaded`&&t}}function r(t,n){let r=t.after?{}:{include:[`counts`]};return e.get(`/files`,{query:{...t,...r},signal:n})}export{r as n,n as t};
>>>>>>>> review:service/console/static/_app/immutable/chunks/CKJlxmT9.js
