/* SPDX-License-Identifier: MIT */
#include "date.h"

#include <string.h>
#include <strings.h>

#define YEAR_MIN 1900u

static const char month_names[12][4] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly `n` digits at *s. */
static bool digits(const char **s, const char *end, size_t n, unsigned *ret)
{
    unsigned v = 0;

    if ((size_t)(end - *s) < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!digit((*s)[i]))
            return false;
        v = v * 10 + (unsigned)((*s)[i] - '0');
    }
    *s += n;
    *ret = v;
    return true;
}

static bool expect(const char **s, const char *end, const char *any)
{
    if (*s == end || **s == '\0' || strchr(any, **s) == NULL)
        return false;
    (*s)++;
    return true;
}

static bool real_date(unsigned year, unsigned month, unsigned day)
{
    static const uint8_t length[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    if (year < YEAR_MIN || year > 9999 || month < 1 || month > 12 || day < 1)
        return false;
    return day <= length[month - 1] + (month == 2 && leap ? 1u : 0u);
}

static bool iso_date(const char **s, const char *end)
{
    unsigned y = 0;
    unsigned m = 0;
    unsigned d = 0;

    return digits(s, end, 4, &y) && expect(s, end, "-") && digits(s, end, 2, &m) && expect(s, end, "-") &&
           digits(s, end, 2, &d) && real_date(y, m, d);
}

bool vf_date_valid(const char *s, size_t len)
{
    const char *end = s + len;

    return iso_date(&s, end) && s == end;
}

static bool zone(const char **s, const char *end)
{
    unsigned h = 0;
    unsigned m = 0;

    if (expect(s, end, "Zz"))
        return true;
    return expect(s, end, "+-") && digits(s, end, 2, &h) && expect(s, end, ":") && digits(s, end, 2, &m) && h < 24 && m < 60;
}

bool vf_date_time_valid(const char *s, size_t len)
{
    const char *end = s + len;
    unsigned h = 0;
    unsigned m = 0;
    unsigned sec = 0;

    if (!iso_date(&s, end) || !expect(&s, end, "Tt "))
        return false;
    if (!digits(&s, end, 2, &h) || !expect(&s, end, ":") || !digits(&s, end, 2, &m) || !expect(&s, end, ":") ||
        !digits(&s, end, 2, &sec) || h > 23 || m > 59 || sec > 60)
        return false;
    if (expect(&s, end, ".")) {
        const char *first = s;
        while (s < end && digit(*s))
            s++;
        if (s == first)
            return false;
    }
    return zone(&s, end) && s == end;
}

/* -------------------------------------------------------------------------------------------------- other systems' dates */

/* One of D DD %d, M MM %m, MMM %b, YYYY %Y. */
static bool format_item(const char **s, char *ret)
{
    static const struct {
        const char *text;
        char item;
    } items[] = {{"YYYY", 'Y'}, {"MMM", 'b'}, {"MM", 'M'}, {"DD", 'D'}, {"M", 'M'},
                 {"D", 'D'},    {"%Y", 'Y'},  {"%b", 'b'}, {"%m", 'M'}, {"%d", 'D'}};

    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        size_t n = strlen(items[i].text);
        if (strncmp(*s, items[i].text, n) == 0) {
            *s += n;
            *ret = items[i].item;
            return true;
        }
    }
    return false;
}

enum vf_err vf_date_format_parse(const char *text, struct vf_date_format *ret, struct vf_why *why)
{
    struct vf_date_format f = {0};
    const char *s = text;
    unsigned seen_day = 0;
    unsigned seen_month = 0;
    unsigned seen_year = 0;
    bool good = true;

    for (unsigned i = 0; good && i < 3; i++) {
        if (i == 1 && *s != '\0' && strchr("/-. ", *s) != NULL)
            f.separator = *s;
        if (i > 0 && f.separator != 0)
            good = *s++ == f.separator;
        good = good && format_item(&s, &f.order[i]);
        seen_day += f.order[i] == 'D';
        seen_month += f.order[i] == 'M' || f.order[i] == 'b';
        seen_year += f.order[i] == 'Y';
    }
    if (!good || *s != '\0' || seen_day != 1 || seen_month != 1 || seen_year != 1)
        return vf_fail(why, VF_E_USAGE,
                       "not a date format: write for example DD/MM/YYYY, MM/DD/YYYY, DD-MMM-YYYY or YYYYMMDD");
    *ret = f;
    return VF_OK;
}

static bool month_by_name(const char **s, const char *end, unsigned *ret)
{
    if (end - *s < 3)
        return false;
    for (unsigned i = 0; i < 12; i++) {
        if (strncasecmp(*s, month_names[i], 3) == 0) {
            *s += 3;
            *ret = i + 1;
            return true;
        }
    }
    return false;
}

static bool take(char item, bool short_too, const char **s, const char *end, unsigned date[3])
{
    switch (item) {
    case 'Y':
        return digits(s, end, 4, &date[0]);
    case 'b':
        return month_by_name(s, end, &date[1]);
    default:
        break;
    }
    unsigned *to = item == 'M' ? &date[1] : &date[2];
    return digits(s, end, 2, to) || (short_too && digits(s, end, 1, to));
}

enum vf_err vf_date_convert(const struct vf_date_format *format, const char *value, size_t len, char ret[VF_DATE_LEN + 1],
                            struct vf_why *why)
{
    const char *s = value;
    const char *end = value + len;
    unsigned date[3] = {0, 0, 0}; /* year, month, day */
    bool good = true;

    while (s < end && *s == ' ')
        s++;
    while (end > s && end[-1] == ' ')
        end--;
    if (s == end) {
        ret[0] = '\0';
        return VF_OK;
    }
    for (unsigned i = 0; good && i < 3; i++) {
        if (i > 0 && format->separator != 0)
            good = s < end && *s++ == format->separator;
        good = good && take(format->order[i], format->separator != 0, &s, end, date);
    }
    if (!good || s != end)
        return vf_fail(why, VF_E_INPUT, "not a date of the given format");
    if (!real_date(date[0], date[1], date[2]))
        return vf_fail(why, VF_E_INPUT, "no such day in the calendar, or before %u", YEAR_MIN);
    (void)snprintf(ret, VF_DATE_LEN + 1, "%04u-%02u-%02u", date[0] % 10000, date[1] % 100, date[2] % 100);
    return VF_OK;
}
