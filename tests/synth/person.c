/* SPDX-License-Identifier: MIT */
/* person: the text of one record. */
#include "synth.h"

#include <string.h>

/* Only ranks of the default list, so that a vault needs no setting before it takes them; staff hold an equivalent one. */
static const char *const RANKS[] = {
    "Constable",
    "Sergeant",
    "Inspector",
    "Chief Inspector",
    "Superintendent",
    "Chief Superintendent",
    "Commander",
    "Assistant Chief Constable",
    "Deputy Chief Constable",
    "Chief Constable",
};
static const uint8_t RANK_WEIGHT[] = {74, 15, 5, 2, 1, 1, 1, 0, 0, 0};

const char SYNTH_WARRANT_PATTERN[] = "^([0-9]{10}|[PSK][0-9]{8})$";

/* Largest prime below 10^7: multiplying by anything else than 0 permutes the numbers below it, so warrant numbers never meet. */
#define NUMBERS 9999991u

#define PICK(rng, list)    ((list)[rng_below((rng), sizeof(list) / sizeof *(list))])
#define SET(p, field, ...) snprintf((p)->v[field], FIELD_BYTES, __VA_ARGS__)

const char *const *synth_ranks(size_t *n)
{
    *n = sizeof RANKS / sizeof *RANKS;
    return RANKS;
}

static uint32_t permuted(uint64_t seed, uint64_t index, uint32_t which)
{
    struct rng rng;
    rng_init(&rng, seed, STREAM_FORCE, which);
    uint64_t factor = 1 + rng_below(&rng, NUMBERS - 1), start = rng_below(&rng, NUMBERS);
    return (uint32_t)((start + index % NUMBERS * factor) % NUMBERS);
}

/* True for exactly `percent` of any run of a hundred records, spread evenly; *nth counts them. */
static bool portion(uint64_t index, uint32_t percent, uint32_t shift, uint64_t *nth)
{
    uint64_t at = index + shift;
    *nth = at * percent / 100;
    return (at + 1) * percent / 100 > *nth;
}

static void rank_and_kind(struct rng *rng, struct person *p)
{
    uint32_t at = rng_below(rng, 99), rank = 0;
    while (at >= RANK_WEIGHT[rank])
        at -= RANK_WEIGHT[rank++];
    if (rank == 6 && rng_percent(rng, 30))
        rank += 1 + rng_below(rng, 3);
    SET(p, F_RANK, "%s", RANKS[rank]);

    uint32_t kind = rank == 0 ? rng_below(rng, 100) : 0;
    const char *person = "OFFICER", *card = "WARRANT";
    if (kind >= 90)
        person = card = "STAFF";
    else if (kind >= 84)
        person = card = "PCSO";
    else if (kind >= 78)
        person = card = "SPECIAL";
    else if (kind >= 75) {
        person = "CONTRACTOR";
        card = rng_percent(rng, 15) ? "VISITOR" : "CONTRACTOR";
    }
    SET(p, F_PERSON_TYPE, "%s", person);
    SET(p, F_CARD_TYPE, "%s", card);
}

static void numbers(struct rng *rng, uint64_t seed, uint64_t index, struct person *p)
{
    uint32_t n = permuted(seed, index, 0);
    char kind = p->v[F_PERSON_TYPE][0];
    if (strcmp(p->v[F_PERSON_TYPE], "PCSO") == 0 || strcmp(p->v[F_PERSON_TYPE], "STAFF") == 0)
        SET(p, F_WARRANT_NO, "%c%08u", kind, n);
    else if (kind == 'C')
        SET(p, F_WARRANT_NO, "K%08u", n);
    else
        SET(p, F_WARRANT_NO, "%010u", n);
    SET(p, F_CARD_SERIAL, "WX-%09u", permuted(seed, index, 1));
    SET(p, F_PAY_NO, "PN%08u", permuted(seed, index, 2));
    uint32_t a = rng_below(rng, 100), b = rng_below(rng, 100); /* mostly the first issue, at times the second or third */
    SET(p, F_ISSUE_NO, "%u", 1 + a * b / 3300);

    static const struct {
        const char *name;
        int bytes;
    } CHIPS[] = {{"MIFARE DESFire EV3", 7}, {"MIFARE DESFire EV3", 7}, {"MIFARE Classic 1K", 4}, {"FeliCa Standard", 10}};
    size_t chip = rng_below(rng, 5);
    if (chip < 4) {
        SET(p, F_CHIP_TYPE, "%s", CHIPS[chip].name);
        for (int i = 0; i < CHIPS[chip].bytes; i++)
            snprintf(p->v[F_CHIP_UID] + i * 2, 3, "%02X", rng_below(rng, 256));
    }
}

static void date(struct rng *rng, struct person *p, enum field field, int year)
{
    uint32_t month = 1 + rng_below(rng, 12), day = 1 + rng_below(rng, 28);
    SET(p, field, "%04d-%02u-%02u", year, month, day);
}

static void place_and_card(struct rng *rng, struct person *p)
{
    static const char *const STATIONS[] = {"Acton Lane", "Bishop's Gate",       "Castle Street",    "Dock Road, Annexe B",
                                           "Eastfield",  "Ffordd y Parc",       "Great Marsh Lane", "Holloway Cross",
                                           "Kings Hill", "Longsight (Custody)", "Moss Side",        "St Ann's \"Old Nick\""};
    static const char *const GRADES[] = {"PC1", "PC4", "PC7", "SGT2", "SO1", "Band C", "Band E", ""};
    static const char *const ENDORSEMENTS[] = {"Authorised to stop vehicles: s.163 RTA 1988", "Firearms, Tier 2",
                                               "Welsh speaker / Siaradwr Cymraeg",
                                               "Powers under Sch. 4 \"Police Reform Act 2002\""};
    int year = rng_range(rng, 2021, 2026);
    date(rng, p, F_VALID_FROM, year);
    date(rng, p, F_VALID_TO, year + rng_range(rng, 3, 10));
    if (rng_percent(rng, 12))
        SET(p, F_ENDORSEMENT, "%s", PICK(rng, ENDORSEMENTS));
    static const char *const UNITS[] = {"BCU", "RTPC", "DIV", "CTU", "CUST"};
    uint32_t collar = 1 + rng_below(rng, 9999), letter = rng_below(rng, 26), other = rng_below(rng, 26),
             unit = 1 + rng_below(rng, 40);
    SET(p, F_SHOULDER_NO, "%u%c%c", collar, 'A' + (char)letter, 'A' + (char)other);
    SET(p, F_UNIT_CODE, "%s-%02u", PICK(rng, UNITS), unit);
    SET(p, F_STATION, "%s", PICK(rng, STATIONS));
    SET(p, F_GRADE, "%s", PICK(rng, GRADES));
}

static void secrets(struct rng *rng, uint64_t seed, uint64_t index, struct person *p)
{
    static const char *const VETTING[] = {"RV", "RV", "RV", "MV", "MV", "CTC", "SC", "DV"};
    static const char *const OUTSIDERS[] = {"NPPV1", "NPPV2", "NPPV2", "NPPV3"};
    SET(p, F_VETTING, "%s", p->v[F_PERSON_TYPE][0] == 'C' ? PICK(rng, OUTSIDERS) : PICK(rng, VETTING));
    date(rng, p, F_VETTING_EXPIRY, rng_range(rng, 2026, 2036));

    uint32_t id = permuted(seed, index, 3), line = rng_below(rng, 1000), flat = 1 + rng_below(rng, 40),
             house = 1 + rng_below(rng, 200);
    switch (rng_below(rng, 10)) {
    case 0:
        SET(p, F_NOTIFY_TO, "+44 7700 900%03u (evenings), or union rep. no. %07u", line, id);
        break;
    case 1:
        SET(p, F_NOTIFY_TO, "By post: Flat %u, %u Mill Lane, Ref. HOME-%07u", flat, house, id);
        break;
    default:
        SET(p, F_NOTIFY_TO, "private.%07u@post.invalid", id);
        break;
    }
    SET(p, F_STATUS, "ACTIVE");
    SET(p, F_SOURCE_SYSTEM, "%s", rng_percent(rng, 90) ? "PSOP-HR" : "Origin (legacy)");
    date(rng, p, F_SOURCE_UPDATED, 2026);
}

/* Class A that is needed to print a card, taken away from some. */
static void take_away(const struct options *opt, struct rng *rng, uint64_t index, struct person *p)
{
    uint64_t nth;
    if (!portion(index, opt->incomplete, 29, &nth))
        return;
    p->lack = (enum lack)(1 + nth % 3);
    if (p->lack == LACK_PHOTO && opt->photos == PHOTOS_NONE)
        p->lack = rng_percent(rng, 50) ? LACK_NAME : LACK_RANK;
    if (p->lack == LACK_PHOTO)
        p->photo = p->large = false;
    else
        p->v[p->lack == LACK_NAME ? F_NAME_ON_CARD : F_RANK][0] = 0;
}

void synth_person(const struct options *opt, uint64_t index, struct person *p)
{
    struct rng rng;
    uint64_t nth, seed = opt->seed;
    rng_init(&rng, seed, STREAM_PERSON, index);
    memset(p, 0, sizeof *p);
    synth_name(&rng, p->v[F_FORENAMES], p->v[F_SURNAME], p->v[F_NAME_ON_CARD], p->v[F_TITLE]);
    rank_and_kind(&rng, p);
    numbers(&rng, seed, index, p);
    place_and_card(&rng, p);
    secrets(&rng, seed, index, p);

    SET(p, F_PROTECT, "STANDARD");
    if (portion(index, opt->guarded, 0, &nth))
        SET(p, F_PROTECT, "%s", nth % 3 == 1 ? "COVERT" : "RESTRICTED");
    p->signature = opt->photos != PHOTOS_NONE && portion(index, opt->signatures, 57, &nth);
    p->photo = opt->photos != PHOTOS_NONE;
    /* Large photos are spread over the force; a range test on multiples avoids rounding twice. */
    p->large = p->photo && (index + 1) * opt->large / opt->records > index * opt->large / opt->records;
    take_away(opt, &rng, index, p);
}
