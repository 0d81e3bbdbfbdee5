/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>

#include "common/cleanup.h"
#include "tests/load/load_report.h"

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>podkin-load</title>\n"
    "<style>body{font:14px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 "
    "1em;color:#222;background:#fff}"
    "#tables{columns:2}table{border-collapse:collapse}td{padding:.1em 1.2em .1em "
    "0}td+td{text-align:right;font-variant-numeric:tabular-nums}"
    "svg{width:100%;height:auto;display:block}h2{margin:1.6em 0 .2em;font-size:1.05em}.k{color:#666}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}.k{color:#999}}</style>\n"
    "<h1>podkin-load</h1><div id=\"plots\"></div><div id=\"tables\"></div>\n<script id=\"data\" "
    "type=\"application/json\">";

/* Curves as SVG: time to the right, the value upwards from 0, two lines at most. */
static const char page_tail[] =
    "</script>\n<script>\n"
    "const d=JSON.parse(document.getElementById('data').textContent),c=d.curve;\n"
    "const el=(p,n,t)=>{const "
    "e=document.createElement(n);if(t!==undefined)e.textContent=t;p.appendChild(e);return e};\n"
    "const fmt=v=>v>=1e9?(v/1e9).toFixed(2)+' G':v>=1e6?(v/1e6).toFixed(2)+' M':v>=1e4?(v/1e3).toFixed(1)+' "
    "k':"
    "Number.isInteger(v)?String(v):v.toFixed(3);\n"
    "for(const part of ['profile','result']){const b=document.getElementById('tables');el(b,'h2',part);const "
    "t=el(b,'table');"
    "for(const[k,v]of Object.entries(d[part])){const r=el(t,'tr');el(r,'td',k.replace(/_/g,' "
    "')).className='k';"
    "el(r,'td',typeof v==='number'?fmt(v):String(v))}}\n"
    "const rate=k=>c.slice(1).map((p,i)=>[p.ms/1e3,(p[k]-c[i][k])*1e3/Math.max(1,p.ms-c[i].ms)]);\n"
    "const val=(k,f=1)=>c.map(p=>[p.ms/1e3,p[k]*f]);\n"
    "const nice=v=>{const u=10**Math.floor(Math.log10(v));return u*[1,2,4,6,8,10].find(k=>k*u>=v)};\n"
    "function plot(title,unit,lines){const "
    "b=document.getElementById('plots');el(b,'h2',title);if(c.length<2){el(b,'p','too short for a "
    "curve');return}\n"
    "const "
    "W=920,H=200,L=70,R=28,B=24,T=22,all=lines.flatMap(l=>l.data),mx=nice(Math.max(...all.map(p=>p[1]),1e-9))"
    ",tx=Math."
    "max(...all.map(p=>p[0]),1e-9);\n"
    "const X=t=>L+(W-L-R)*t/tx,Y=v=>T+(H-B-T)*(1-v/mx),ns='http://www.w3.org/2000/svg';\n"
    "const s=document.createElementNS(ns,'svg');s.setAttribute('viewBox',`0 0 ${W} ${H}`);b.appendChild(s);\n"
    "const add=(n,a,t)=>{const e=document.createElementNS(ns,n);for(const k in "
    "a)e.setAttribute(k,a[k]);if(t)e.textContent=t;s.appendChild(e)};\n"
    "for(let i=0;i<=4;i++){const v=mx*i/4;add('line',{x1:L,x2:W-R,y1:Y(v),y2:Y(v),stroke:'#8884'});"
    "add('text',{x:L-6,y:Y(v)+4,'text-anchor':'end','font-size':11,fill:'currentColor'},fmt(v))}\n"
    "for(let i=0;i<=5;i++){const "
    "t=tx*i/"
    "5;add('text',{x:X(t),y:H-6,'text-anchor':'middle','font-size':11,fill:'currentColor'},t.toFixed(1)+' "
    "s')}\n"
    "lines.forEach((l,i)=>{add('polyline',{points:l.data.map(p=>X(p[0]).toFixed(1)+','+Y(p[1]).toFixed(1))."
    "join(' '),fill:'none',"
    "stroke:l.color,'stroke-width':1.6});add('text',{x:L+8+i*150,y:12,'font-size':12,fill:l.color},l.name+'"
    " ('+unit+')')})}\n"
    "const A='#2a78d6',O='#d9730d';\n"
    "plot('Throughput','events/"
    "s',[{name:'sent',data:rate('sent'),color:O},{name:'written',data:rate('emitted'),color:A}]);\n"
    "plot('Latency to the line, since the "
    "start','ms',[{name:'p50',data:val('write_p50_us',1e-3),color:A},{name:'p99',data:val('write_p99_us',1e-"
    "3),color:O}]);\n"
    "plot('Release after the metadata came, since the "
    "start','ms',[{name:'p99',data:val('release_p99_us',1e-3),color:A}]);\n"
    "plot('Held for metadata','events',[{name:'held',data:val('held'),color:A}]);\n"
    "plot('Waiting in the queue','MiB',[{name:'backlog',data:val('backlog_bytes',1/1048576),color:A}]);\n"
    "plot('Memory of the enricher','MiB',[{name:'resident',data:val('rss_bytes',1/1048576),color:A}]);\n"
    "plot('CPU of the enricher','% of a "
    "core',[{name:'CPU',data:rate('cpu_us').map(p=>[p[0],p[1]/1e4]),color:A}]);\n"
    "</script></html>\n";

int load_report_html(const struct load_run *run, const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "we");
    int r;

    if (!file)
        return -errno;
    /* Numbers and our own words only: nothing in it can end the script element. */
    (void)fputs(page_head, file);
    r = load_report_write(run, file, JSON_COMPACT);
    (void)fputs(page_tail, file);
    return r < 0 || fflush(file) || ferror(file) ? -EIO : 0;
}
