/* SPDX-License-Identifier: MIT */
/* Civil dates by arithmetic of our own: gmtime and timegm know no bounds, and strptime takes what RFC 3339 does not. */
#include "vaultfs/base.h"

#include <string.h>

#define DAYS_TO_10000 INT64_C(2932897) /* from 1970-01-01 to 10000-01-01 */
#define TIME_MAX_US   (DAYS_TO_10000 * VF_DAY_US - 1)

struct civil {
    int year, month, day, hour, minute, second;
    int micros;
};

static bool leap_year(int y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

static int days_in_month(int y, int m)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return m == 2 && leap_year(y) ? 29 : days[m - 1];
}

/* Days from 1970-01-01 to 1 January of `y` (1970 or later): 365 a year and one for each leap year before. */
static int64_t days_before_year(int y)
{
    int64_t p = y - 1;
    int64_t leaps = p / 4 - p / 100 + p / 400;

    return (int64_t)(y - 1970) * 365 + leaps - (1969 / 4 - 1969 / 100 + 1969 / 400);
}

static int64_t to_us(const struct civil *c)
{
    int64_t days = days_before_year(c->year);

    for (int m = 1; m < c->month; m++)
        days += days_in_month(c->year, m);
    days += c->day - 1;
    return days * VF_DAY_US + ((c->hour * INT64_C(60) + c->minute) * 60 + c->second) * VF_SECOND_US + c->micros;
}

static struct civil from_us(int64_t us)
{
    struct civil c;

    /* Nothing outside the range can be written in these forms; the nearest that can is better than a wrong year. */
    us = us < 0 ? 0 : us > TIME_MAX_US ? TIME_MAX_US : us;
    int64_t days = us / VF_DAY_US;
    int64_t rest = us % VF_DAY_US;
    /* 365-day years guess too late by at most a few years: step back. */
    c.year = 1970 + (int)(days / 365);
    while (days_before_year(c.year) > days)
        c.year--;
    days -= days_before_year(c.year);
    for (c.month = 1; days >= days_in_month(c.year, c.month); c.month++)
        days -= days_in_month(c.year, c.month);
    c.day = (int)days + 1;
    c.micros = (int)(rest % VF_SECOND_US);
    rest /= VF_SECOND_US;
    c.hour = (int)(rest / 3600);
    c.minute = (int)(rest / 60 % 60);
    c.second = (int)(rest % 60);
    return c;
}

/* `n` decimal digits, no sign; -1 for anything else. */
static int digits(const char *s, size_t n)
{
    int v = 0;

    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

static bool parse(const char *s, size_t len, bool micros, int64_t *ret)
{
    struct civil c = {0};

    if (len != (micros ? VF_TIME_US_LEN : VF_TIME_LEN))
        return false;
    if (s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len - 1] != 'Z')
        return false;
    c.year = digits(s, 4);
    c.month = digits(s + 5, 2);
    c.day = digits(s + 8, 2);
    c.hour = digits(s + 11, 2);
    c.minute = digits(s + 14, 2);
    c.second = digits(s + 17, 2);
    if (micros) {
        c.micros = digits(s + 20, 6);
        if (s[19] != '.' || c.micros < 0)
            return false;
    }
    if (c.year < 1970 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > days_in_month(c.year, c.month))
        return false;
    /* No leap second: POSIX time has no number for it. */
    if (c.hour < 0 || c.hour > 23 || c.minute < 0 || c.minute > 59 || c.second < 0 || c.second > 59)
        return false;
    *ret = to_us(&c);
    return true;
}

bool vf_time_parse(const char *s, size_t len, int64_t *ret_us)
{
    return parse(s, len, false, ret_us);
}

bool vf_time_parse_us(const char *s, size_t len, int64_t *ret_us)
{
    return parse(s, len, true, ret_us);
}

bool vf_duration_parse(const char *s, int64_t *ret_us)
{
    size_t len = strlen(s);
    int64_t unit;
    uint64_t n = 0;

    if (len < 2)
        return false;
    switch (s[len - 1]) {
    case 's':
        unit = VF_SECOND_US;
        break;
    case 'm':
        unit = 60 * VF_SECOND_US;
        break;
    case 'h':
        unit = 3600 * VF_SECOND_US;
        break;
    case 'd':
        unit = VF_DAY_US;
        break;
    case 'w':
        unit = 7 * VF_DAY_US;
        break;
    default:
        return false;
    }
    if (!vf_uint_parse(s, len - 1, (uint64_t)(TIME_MAX_US / unit), &n))
        return false;
    *ret_us = (int64_t)n * unit;
    return true;
}

bool vf_time_parse_arg(const char *s, int64_t now_us, int64_t *ret_us)
{
    int64_t span = 0;

    if (strcmp(s, "now") == 0) {
        *ret_us = now_us;
        return true;
    }
    if (s[0] != '+')
        return vf_time_parse(s, strlen(s), ret_us);
    if (!vf_duration_parse(s + 1, &span) || now_us < 0 || now_us > TIME_MAX_US - span)
        return false;
    *ret_us = now_us + span;
    return true;
}

static char *put_digits(char *out, int v, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        out[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return out + n;
}

static char *put_whole(char *out, const struct civil *c)
{
    out = put_digits(out, c->year, 4);
    *out++ = '-';
    out = put_digits(out, c->month, 2);
    *out++ = '-';
    out = put_digits(out, c->day, 2);
    *out++ = 'T';
    out = put_digits(out, c->hour, 2);
    *out++ = ':';
    out = put_digits(out, c->minute, 2);
    *out++ = ':';
    return put_digits(out, c->second, 2);
}

void vf_time_format(int64_t us, char out[VF_TIME_LEN + 1])
{
    struct civil c = from_us(us);
    char *end = put_whole(out, &c);

    end[0] = 'Z';
    end[1] = '\0';
}

void vf_time_format_us(int64_t us, char out[VF_TIME_US_LEN + 1])
{
    struct civil c = from_us(us);
    char *end = put_whole(out, &c);

    *end++ = '.';
    end = put_digits(end, c.micros, 6);
    end[0] = 'Z';
    end[1] = '\0';
}

void vf_time_format_person(int64_t us, char *out, size_t size)
{
    static const char *const months[12] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c = from_us(us);

    (void)snprintf(out, size, "%d %s %04d at %02d:%02d UTC", c.day, months[c.month - 1], c.year, c.hour, c.minute);
}
