/* SPDX-License-Identifier: MIT */
/* The section “When”: by hour of the week, and day by day. Tables first of all: the figures stand in the cells, the shade is an addition. */
#include "html_report.h"

#include <string.h>

#define DAYS_SHOWN 45 /* the latest; earlier ones open on demand */

static const char *const weekdays[7] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char *const weekdays_long[7] = {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"};

static unsigned weekday(int64_t day)
{
    return vf_week_hour(day * VF_DAY_US) / 24;
}

/* Five shades, by the square root: so that a busy hour does not make all others look empty. */
static const char *shade(uint64_t n, uint64_t most)
{
    static const char *const classes[] = {"a", "b2", "c", "e", "f"};

    if (n == 0 || most == 0)
        return NULL;
    unsigned i = 0;
    while (i < 4 && (double)n * 25 >= (double)(i + 1) * (double)(i + 1) * (double)most)
        i++;
    return classes[i];
}

/* At most four characters. */
static void short_number(uint64_t n, char out[16])
{
    if (n < 10000)
        (void)snprintf(out, 16, "%llu", (unsigned long long)n);
    else if (n < 1000000)
        (void)snprintf(out, 16, "%lluk", (unsigned long long)(n / 1000));
    else if (n < UINT64_C(1000000000))
        (void)snprintf(out, 16, "%lluM", (unsigned long long)(n / 1000000));
    else
        (void)snprintf(out, 16, "%lluG", (unsigned long long)(n / 1000000000));
}

static void put_bar(struct vf_page *p, uint64_t n, uint64_t most)
{
    unsigned width = most > 0 ? (unsigned)((double)n / (double)most * 100) : 0;

    if (n == 0)
        return;
    vf_page_fmt(
        p,
        "<svg class=bar viewBox=\"0 0 100 10\" preserveAspectRatio=none aria-hidden=true><rect width=%u height=10 /></svg>",
        width > 0 ? width : 1);
}

static void put_hours_head(struct vf_page *p, const char *first)
{
    vf_page_fmt(p, "<thead><tr><th class=d scope=col>%s", first);
    for (unsigned h = 0; h < 24; h++)
        vf_page_fmt(p, "<th scope=col%s>%02u", h < VF_WORK_FROM || h >= VF_WORK_UNTIL ? " class=off" : "", h);
    vf_page_put(p, "<th class=sum scope=col>reads<th class=b aria-hidden=true></thead>\n<tbody>\n");
}

static uint64_t put_hours(struct vf_page *p, const uint64_t reads[24], uint64_t most, bool weekend)
{
    uint64_t sum = 0;
    char text[16];

    for (unsigned h = 0; h < 24; h++) {
        const char *class = shade(reads[h], most);
        if (class == NULL) {
            vf_page_put(p, weekend || h < VF_WORK_FROM || h >= VF_WORK_UNTIL ? "<td class=off>" : "<td>");
            continue;
        }
        short_number(reads[h], text);
        vf_page_fmt(p, "<td class=%s>%s", class, text);
        sum = vf_count_add(sum, reads[h]);
    }
    return sum;
}

struct range {
    uint64_t most_hour, most_day;
};

static void put_sum(struct vf_page *p, uint64_t sum, uint64_t most)
{
    char n[32];

    vf_page_fmt(p, "<td class=sum>%s<td class=b>", vf_number(sum, n));
    put_bar(p, sum, most);
    vf_page_put(p, "\n");
}

static void put_week(const struct vf_report *r, struct vf_page *p)
{
    uint64_t week[7][24] = {{0}};
    struct range g = {0};

    for (size_t i = 0; i < r->f.ndays; i++)
        for (unsigned h = 0; h < 24; h++)
            week[weekday(r->f.day[i].day)][h] = vf_count_add(week[weekday(r->f.day[i].day)][h], r->f.day[i].reads[h]);
    for (unsigned d = 0; d < 7; d++) {
        uint64_t sum = 0;
        for (unsigned h = 0; h < 24; h++) {
            g.most_hour = week[d][h] > g.most_hour ? week[d][h] : g.most_hour;
            sum = vf_count_add(sum, week[d][h]);
        }
        g.most_day = sum > g.most_day ? sum : g.most_day;
    }
    vf_page_put(
        p,
        "<h3>The week, hour by hour</h3>\n<div class=wide tabindex=0 role=region aria-label=\"Reads by hour of the week\">"
        "<table class=heat><caption>All reads, by weekday and hour (UTC)</caption>\n");
    put_hours_head(p, "weekday");
    for (unsigned d = 0; d < 7; d++) {
        vf_page_fmt(p, "<tr%s><th class=d scope=row>%s", d >= 5 ? " class=we" : "", weekdays_long[d]);
        put_sum(p, put_hours(p, week[d], g.most_hour, d >= 5), g.most_day);
    }
    vf_page_put(p, "</tbody></table></div>\n");
}

static void put_day_name(struct vf_page *p, int64_t day)
{
    char when[64];

    vf_when(day * VF_DAY_US, when);
    char *at = strstr(when, " at ");
    if (at != NULL)
        *at = '\0';
    vf_page_fmt(p, "%s %s", weekdays[weekday(day)], when);
}

static void put_days(const struct vf_report *r, size_t from, size_t until, const struct range *g, const char *caption,
                     struct vf_page *p)
{
    vf_page_fmt(p, "<div class=wide tabindex=0 role=region aria-label=\"%s\"><table class=heat><caption>%s</caption>\n",
                caption, caption);
    put_hours_head(p, "day");
    for (size_t i = from; i < until; i++) {
        const struct vf_day *d = &r->f.day[i];
        bool weekend = weekday(d->day) >= 5;
        int64_t quiet = i > from ? d->day - r->f.day[i - 1].day - 1 : 0;
        if (quiet > 0)
            vf_page_fmt(p, "<tr class=gap><td colspan=27>%lld day%s without a read\n", (long long)quiet,
                        quiet == 1 ? "" : "s");
        vf_page_put(p, weekend ? "<tr class=we><th class=d scope=row>" : "<tr><th class=d scope=row>");
        put_day_name(p, d->day);
        put_sum(p, put_hours(p, d->reads, g->most_hour, weekend), g->most_day);
    }
    vf_page_put(p, "</tbody></table></div>\n");
}

void vf_report_put_times(const struct vf_report *r, struct vf_page *p)
{
    struct range g = {0};
    size_t first = r->f.ndays > DAYS_SHOWN ? r->f.ndays - DAYS_SHOWN : 0;
    char n[32];

    vf_page_put(p, "<section id=when><h2>When</h2>\n");
    if (r->f.ndays == 0) {
        vf_page_put(p, "<p>There was no read.</p></section>\n");
        return;
    }
    for (size_t i = 0; i < r->f.ndays; i++) {
        uint64_t sum = 0;
        for (unsigned h = 0; h < 24; h++) {
            g.most_hour = r->f.day[i].reads[h] > g.most_hour ? r->f.day[i].reads[h] : g.most_hour;
            sum = vf_count_add(sum, r->f.day[i].reads[h]);
        }
        g.most_day = sum > g.most_day ? sum : g.most_day;
    }
    vf_page_fmt(p,
                "<p>Reads in each hour; the stronger the shade, the more. The column 07 is 07:00 to 07:59 UTC. Hours "
                "outside 07:00 to "
                "19:00, and "
                "weekends, lie on grey: %s of %s read%s fell there (%u&nbsp;%%).</p>\n",
                vf_number(r->f.all.out_hours, n), vf_number(vf_counts_reads(&r->f.all), (char[32]){0}),
                vf_counts_reads(&r->f.all) == 1 ? "" : "s", vf_percent(r->f.all.out_hours, vf_counts_reads(&r->f.all)));
    if (r->f.ndays > 1)
        put_week(r, p);
    vf_page_put(p, "<h3>Day by day</h3>\n");
    if (first > 0) {
        vf_page_fmt(p, "<details><summary>%zu earlier day%s with reads, %s ", first, first == 1 ? "" : "s",
                    first == 1 ? "on" : "from");
        put_day_name(p, r->f.day[0].day);
        vf_page_put(p, first == 1 ? "</summary>\n" : " on</summary>\n");
        put_days(r, 0, first, &g, "Reads by day and hour (UTC), earlier days", p);
        vf_page_put(p, "</details>\n");
    }
    put_days(r, first, r->f.ndays, &g, "Reads by day and hour (UTC)", p);
    vf_page_put(p, "</section>\n");
}
