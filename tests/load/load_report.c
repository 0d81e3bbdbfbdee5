/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/load/load_report.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"

static double per_event(const struct load_run *run, double value)
{
    return run->last.emitted ? value / (double)run->last.emitted : 0;
}

static double seconds(const struct load_run *run)
{
    return (double)(run->totals.duration_ns + run->totals.drained_ns) / 1e9;
}

static unsigned long long n(uint64_t value)
{
    return (unsigned long long)value;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

static void head_text(const struct load_run *run, FILE *to)
{
    const struct load_conf *c = run->conf;
    double ran = (double)run->totals.duration_ns / 1e9;

    if (run->replay) {
        (void)fprintf(to, "recording of %llu records", n(load_replay_record_count(run->replay)));
        if (load_replay_torn_bytes(run->replay))
            (void)fprintf(
                to, " (and %llu bytes of one that is not whole)", n(load_replay_torn_bytes(run->replay)));
        if (c->replay_speed > 0)
            (void)fprintf(to, ", open loop, %g times as fast", c->replay_speed);
        else
            (void)fprintf(to, ", closed loop");
        (void)fprintf(
            to, ", %.1f s, seed %llu; %llu Pods\n", ran, n(c->seed), n(load_replay_pod_count(run->replay)));
        return;
    }
    if (c->rate)
        (void)fprintf(to, "open loop, %llu events/s", n(c->rate));
    else
        (void)fprintf(to, "closed loop");
    (void)fprintf(to, ", %.1f s, seed %llu; %llu Pods of %llu containers of %llu processes\n", ran,
        n(c->seed), n(c->pods), n(c->containers), n(c->processes));
}

void load_report_text(const struct load_run *run, FILE *to)
{
    const struct load_totals *t = &run->totals;
    const struct load_sample *s = &run->last, *f = &run->first;
    uint64_t user = s->cpu_user_us - f->cpu_user_us, system = s->cpu_system_us - f->cpu_system_us;

    head_text(run, to);
    (void)fprintf(
        to, "\nsent          %12llu records, %llu of them events\n", n(t->offered), n(t->published_events));
    (void)fprintf(to, "refused       %12llu (queue full)\n", n(t->refused));
    (void)fprintf(to, "received      %12llu\n", n(s->received - f->received));
    (void)fprintf(to, "emitted       %12llu lines, %.0f bytes each\n", n(s->emitted),
        s->lines ? (double)s->bytes / (double)s->lines : 0);
    (void)fprintf(to, "held          %12llu at the end, %llu at most\n", n(s->held), n(s->held_max));
    (void)fprintf(to, "dropped       %12llu\n", n(s->dropped));
    (void)fprintf(
        to, "without Pod   %12llu, %llu without the container's name\n", n(s->without_pod), n(s->pod_only));
    (void)fprintf(to, "books         %12s\n", t->balanced ? "balanced" : "NOT BALANCED");
    (void)fprintf(to, "\nthroughput    %12.0f events/s, of %.1f s in all\n",
        (double)s->emitted / seconds(run), seconds(run));
    (void)fprintf(to,
        "to the line   p50 %llu us, p90 %llu, p99 %llu, p99.9 %llu, p99.99 %llu, most %llu (of %llu)\n",
        n(s->write_p50_us), n(s->write_p90_us), n(s->write_p99_us), n(s->write_p999_us), n(s->write_p9999_us),
        n(s->write_max_us), n(s->write_count));
    (void)fprintf(to, "release       p50 %llu us, p99 %llu, most %llu after the metadata came (of %llu)\n",
        n(s->release_p50_us), n(s->release_p99_us), n(s->release_max_us), n(s->release_count));
    (void)fprintf(to, "\nenricher      %.2f s CPU (%.2f user, %.2f system), %.0f ns an event\n",
        (double)(user + system) / 1e6, (double)user / 1e6, (double)system / 1e6,
        per_event(run, (double)(user + system) * 1000));
    (void)fprintf(to, "              %.1f MiB memory at the end, %.1f at most\n",
        (double)s->rss_bytes / 1048576, (double)s->rss_max_bytes / 1048576);
    (void)fprintf(to,
        "              %llu switches given up, %llu taken away; %.4f read and write calls an event\n",
        n(s->switches_voluntary - f->switches_voluntary),
        n(s->switches_involuntary - f->switches_involuntary),
        per_event(run, (double)(s->calls_read + s->calls_write - f->calls_read - f->calls_write)));
    (void)fprintf(to, "podkin-load   %.2f s CPU, %.0f ns a record\n", (double)t->own_cpu_us / 1e6,
        t->offered ? (double)t->own_cpu_us * 1000 / (double)t->offered : 0);
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void set(json_t *object, const char *key, uint64_t value)
{
    (void)json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *profile_of(const struct load_run *run)
{
    const struct load_conf *c = run->conf;
    json_t *object = json_object();

    set(object, "rate", c->rate);
    set(object, "duration_ms", c->duration_ns / NS_PER_MS);
    set(object, "seed", c->seed);
    set(object, "pods", c->pods);
    set(object, "containers", c->containers);
    set(object, "processes", c->processes);
    set(object, "metadata_delay_ms", c->metadata_delay_ns / NS_PER_MS);
    set(object, "churn_ms", c->churn_ns / NS_PER_MS);
    set(object, "burst_ms", c->burst_ns / NS_PER_MS);
    set(object, "pause_ms", c->pause_ns / NS_PER_MS);
    set(object, "weight_spawn", c->weight_spawn);
    set(object, "weight_worker", c->weight_worker);
    set(object, "weight_deep", c->weight_deep);
    set(object, "weight_hook", c->weight_hook);
    set(object, "queue_bytes", c->queue_bytes);
    if (run->replay) {
        set(object, "replay_records", load_replay_record_count(run->replay));
        set(object, "replay_pods", load_replay_pod_count(run->replay));
        (void)json_object_set_new(object, "replay_speed", json_real(c->replay_speed));
    }
    return object;
}

static json_t *result_of(const struct load_run *run)
{
    const struct load_totals *t = &run->totals;
    const struct load_sample *s = &run->last, *f = &run->first;
    json_t *object = json_object();

    set(object, "sent", t->offered);
    set(object, "sent_events", t->published_events);
    set(object, "refused", t->refused);
    set(object, "received", s->received - f->received);
    set(object, "emitted", s->emitted);
    set(object, "held", s->held);
    set(object, "held_max", s->held_max);
    set(object, "dropped", s->dropped);
    set(object, "lost_records", s->lost_records);
    set(object, "without_pod", s->without_pod);
    set(object, "pod_only", s->pod_only);
    (void)json_object_set_new(object, "balanced", json_boolean(t->balanced));
    (void)json_object_set_new(object, "drained", json_boolean(t->drained));
    (void)json_object_set_new(object, "events_per_second", json_real((double)s->emitted / seconds(run)));
    set(object, "bytes", s->bytes);
    set(object, "write_p50_us", s->write_p50_us);
    set(object, "write_p90_us", s->write_p90_us);
    set(object, "write_p99_us", s->write_p99_us);
    set(object, "write_p999_us", s->write_p999_us);
    set(object, "write_p9999_us", s->write_p9999_us);
    set(object, "write_max_us", s->write_max_us);
    set(object, "release_p50_us", s->release_p50_us);
    set(object, "release_p99_us", s->release_p99_us);
    set(object, "release_max_us", s->release_max_us);
    set(object, "cpu_user_us", s->cpu_user_us - f->cpu_user_us);
    set(object, "cpu_system_us", s->cpu_system_us - f->cpu_system_us);
    set(object, "own_cpu_us", t->own_cpu_us);
    set(object, "rss_bytes", s->rss_bytes);
    set(object, "rss_max_bytes", s->rss_max_bytes);
    set(object, "switches_voluntary", s->switches_voluntary - f->switches_voluntary);
    set(object, "switches_involuntary", s->switches_involuntary - f->switches_involuntary);
    (void)json_object_set_new(object, "calls_per_event",
        json_real(per_event(run, (double)(s->calls_read + s->calls_write - f->calls_read - f->calls_write))));
    return object;
}

static json_t *curve_of(const struct load_run *run)
{
    json_t *list = json_array();

    for (size_t i = 0; i < run->point_count; i++) {
        const struct load_point *p = &run->points[i];
        json_t *point = json_object();

        set(point, "ms", (p->sample.time_ns - run->start_ns) / NS_PER_MS);
        set(point, "sent", p->offered);
        set(point, "emitted", p->sample.emitted);
        set(point, "held", p->sample.held);
        set(point, "backlog_bytes", p->backlog_bytes);
        set(point, "rss_bytes", p->sample.rss_bytes);
        set(point, "cpu_us", p->sample.cpu_user_us + p->sample.cpu_system_us);
        set(point, "write_p50_us", p->sample.write_p50_us);
        set(point, "write_p99_us", p->sample.write_p99_us);
        set(point, "lost_records", p->sample.lost_records);
        (void)json_array_append_new(list, point);
    }
    return list;
}

static json_t *report_of(const struct load_run *run)
{
    json_t *object = json_object();

    (void)json_object_set_new(object, "podkin_load", json_string(PODKIN_VERSION));
    (void)json_object_set_new(object, "profile", profile_of(run));
    (void)json_object_set_new(object, "result", result_of(run));
    (void)json_object_set_new(object, "curve", curve_of(run));
    return object;
}

int load_report_json(const struct load_run *run, const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "we");
    json_t *report;
    int r;

    if (!file)
        return -errno;
    report = report_of(run);
    r = json_dumpf(report, file, JSON_INDENT(2)) < 0 || fputc('\n', file) == EOF || fflush(file) ? -EIO : 0;
    json_decref(report);
    return r;
}

/* ---- the page ----------------------------------------------------------------------------------------------------- */

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>podkin-load</title>\n"
    "<style>body{font:14px/1.5 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 "
    "1em;color:#222;background:#fff}"
    "table{border-collapse:collapse}td{padding:.1em 1.2em .1em "
    "0}td+td{text-align:right;font-variant-numeric:tabular-nums}"
    "svg{width:100%;height:auto;display:block}h2{margin:1.6em 0 .2em;font-size:1.05em}.k{color:#666}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}.k{color:#999}}</style>\n"
    "<h1>podkin-load</h1><div id=\"tables\"></div><div id=\"plots\"></div>\n<script id=\"data\" "
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
    "function plot(title,unit,lines){const "
    "b=document.getElementById('plots');el(b,'h2',title);if(c.length<2){el(b,'p','too short for a "
    "curve');return}\n"
    "const "
    "W=920,H=200,L=70,B=24,T=8,all=lines.flatMap(l=>l.data),mx=Math.max(...all.map(p=>p[1]),1e-9),tx=Math."
    "max(...all.map(p=>p[0]),1e-9);\n"
    "const X=t=>L+(W-L-8)*t/tx,Y=v=>T+(H-B-T)*(1-v/mx),ns='http://www.w3.org/2000/svg';\n"
    "const s=document.createElementNS(ns,'svg');s.setAttribute('viewBox',`0 0 ${W} ${H}`);b.appendChild(s);\n"
    "const add=(n,a,t)=>{const e=document.createElementNS(ns,n);for(const k in "
    "a)e.setAttribute(k,a[k]);if(t)e.textContent=t;s.appendChild(e)};\n"
    "for(let i=0;i<=4;i++){const v=mx*i/4;add('line',{x1:L,x2:W-8,y1:Y(v),y2:Y(v),stroke:'#8884'});"
    "add('text',{x:L-6,y:Y(v)+4,'text-anchor':'end','font-size':11,fill:'currentColor'},fmt(v))}\n"
    "for(let i=0;i<=5;i++){const "
    "t=tx*i/"
    "5;add('text',{x:X(t),y:H-6,'text-anchor':'middle','font-size':11,fill:'currentColor'},t.toFixed(1)+' "
    "s')}\n"
    "lines.forEach((l,i)=>{add('polyline',{points:l.data.map(p=>X(p[0]).toFixed(1)+','+Y(p[1]).toFixed(1))."
    "join(' '),fill:'none',"
    "stroke:l.color,'stroke-width':1.6});add('text',{x:L+8+i*150,y:T+12,'font-size':12,fill:l.color},l.name+'"
    " ('+unit+')')})}\n"
    "const A='#2a78d6',O='#d9730d';\n"
    "plot('Throughput','events/"
    "s',[{name:'sent',data:rate('sent'),color:O},{name:'written',data:rate('emitted'),color:A}]);\n"
    "plot('Latency to the line, since the "
    "start','ms',[{name:'p50',data:val('write_p50_us',1e-3),color:A},{name:'p99',data:val('write_p99_us',1e-"
    "3),color:O}]);\n"
    "plot('Held for metadata','events',[{name:'held',data:val('held'),color:A}]);\n"
    "plot('Waiting in the queue','MiB',[{name:'backlog',data:val('backlog_bytes',1/1048576),color:A}]);\n"
    "plot('Memory of the enricher','MiB',[{name:'resident',data:val('rss_bytes',1/1048576),color:A}]);\n"
    "plot('CPU of the enricher','% of a "
    "core',[{name:'CPU',data:rate('cpu_us').map(p=>[p[0],p[1]/1e4]),color:A}]);\n"
    "</script></html>\n";

int load_report_html(const struct load_run *run, const char *path)
{
    CLEANUP_FILE FILE *file = fopen(path, "we");
    json_t *report;
    int r;

    if (!file)
        return -errno;
    report = report_of(run); /* numbers and our own words only: nothing in it can end the script element */
    (void)fputs(page_head, file);
    r = json_dumpf(report, file, JSON_COMPACT);
    (void)fputs(page_tail, file);
    json_decref(report);
    return r < 0 || fflush(file) || ferror(file) ? -EIO : 0;
}

/* ---- thresholds --------------------------------------------------------------------------------------------------- */

static unsigned judge(FILE *to, const char *what, uint64_t is, uint64_t most)
{
    if (is <= most)
        return 0;
    (void)fprintf(to, "failed: %s %llu, at most %llu wanted\n", what, n(is), n(most));
    return 1;
}

unsigned load_report_judge(const struct load_run *run, FILE *to)
{
    const struct load_conf *c = run->conf;
    uint64_t p99_limit_us = c->fail_p99_ns == UINT64_MAX ? UINT64_MAX : c->fail_p99_ns / NS_PER_US;
    unsigned failed = 0;

    if (!run->totals.balanced) {
        (void)fprintf(to, "failed: the books do not balance\n");
        failed++;
    }
    if (!run->totals.drained) {
        (void)fprintf(to, "failed: events were left over at the end\n");
        failed++;
    }
    failed += judge(to, "lost records:", run->totals.refused, c->fail_lost);
    failed += judge(to, "99th percentile to the line, us:", run->last.write_p99_us, p99_limit_us);
    failed += judge(to, "events without their Pod:", run->last.without_pod, c->fail_without_pod);
    failed += judge(to, "memory of the enricher, bytes:", run->last.rss_max_bytes, c->fail_rss_bytes);
    return failed;
}
