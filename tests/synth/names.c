/* SPDX-License-Identifier: MIT */
/* names: people as British forces have them. Invented by combination; everything is NFC. */
#include "synth.h"

#include <string.h>

static const char *const FORENAMES[] = {
    "Aaron",    "Abigail",   "Adébáyọ̀",   "Agnieszka",  "Aidan",   "Aisha",    "Alasdair", "Alice",     "Amara",
    "Amélie",   "Amir",      "Andrew",    "Angharad",   "Anjali",  "Anthony",  "Aoife",    "Arjun",     "Ayşe",
    "Beatrice", "Benjamin",  "Bethan",    "Björn",      "Bronwen", "Callum",   "Caoimhe",  "Carys",     "Catherine",
    "Céline",   "Charlotte", "Chidi",     "Chloë",      "Ciarán",  "Claire",   "Daniel",   "Dafydd",    "Deepak",
    "Dominic",  "Dónal",     "Eilidh",    "Eleanor",    "Elif",    "Emily",    "Emeka",    "Éamonn",    "Farah",
    "Fatima",   "Ffion",     "Fiona",     "François",   "Gareth",  "George",   "Grace",    "Grażyna",   "Gwenllïan",
    "Hannah",   "Harpreet",  "Harriet",   "Hassan",     "Helen",   "Hùng",     "Iain",     "Imran",     "Inés",
    "Isla",     "Iwan",      "Jacob",     "James",      "Jasmine", "Jiří",     "Joanne",   "José",      "Joshua",
    "Jürgen",   "Karen",     "Katarzyna", "Kwame",      "Kavita",  "Laura",    "Lauren",   "Leighton",  "Lewis",
    "Linh",     "Llŷr",      "Łukasz",    "Małgorzata", "Manjit",  "Margaret", "Matthew",  "Mícheál",   "Michelle",
    "Mohammed", "Nasreen",   "Natalie",   "Ngozi",      "Niamh",   "Noël",     "Nuala",    "Oluwaseun", "Óscar",
    "Owen",     "Patrick",   "Philippa",  "Priya",      "Rachel",  "Rajesh",   "Rebecca",  "Renée",     "Rhiannon",
    "Róisín",   "Rukhsana",  "Samantha",  "Samuel",     "Şebnem",  "Seán",     "Siân",     "Siobhán",   "Sofia",
    "Stephen",  "Sunita",    "Thandiwe",  "Thérèse",    "Thomas",  "Tomáš",    "Usman",    "Victoria",  "Wei",
    "William",  "Wojciech",  "Yasmin",    "Yusuf",      "Zahra",   "Zoë",
};

static const char *const SURNAMES[] = {
    "Abernethy",    "Adeyemi",       "Ahmed",         "Akhtar",      "Ashworth",    "Bałdyga",        "Bannerjee",
    "Barraclough",  "Begum",         "Blackwood",     "Boateng",     "Braithwaite", "Brânză",         "Brown",
    "Cadwaladr",    "Çelik",         "Chakraborty",   "Chaudhry",    "Chen",        "Clarke",         "Cholmondeley",
    "D'Souza",      "Davies",        "de Souza",      "Dhillon",     "Dlamini",     "Doherty",        "Đặng",
    "Edwards",      "Eriksson",      "Evans",         "Fairweather", "Farquharson", "Featherstone",   "Fernández",
    "Fitzgerald",   "Forsyth",       "García",        "Gill",        "Goldsmith",   "Grabowski",      "Griffiths",
    "Grünwald",     "Hargreaves",    "Harrington",    "Heathcote",   "Henderson",   "Hughes",         "Hussain",
    "Ibrahim",      "Ifekwunigwe",   "Iyer",          "Jankowski",   "Jones",       "Kamara",         "Kaur",
    "Khan",         "Kowalczyk",     "Kőrösi",        "Llewellyn",   "Ludlow",      "MacGillivray",   "Mac an tSaoir",
    "Mahmood",      "Małecki",       "McAllister",    "McGuinness",  "Mehta",       "Mensah",         "Moreau",
    "Müller",       "Mukherjee",     "Ní Dhomhnaill", "Nguyễn",      "Novák",       "Ó Súilleabháin", "O'Brien",
    "O'Connell",    "O'Shaughnessy", "Okafor",        "Okonkwo",     "Olusanya",    "Østergaard",     "Özdemir",
    "Papadopoulos", "Patel",         "Pemberton",     "Petrović",    "Popescu",     "Postlethwaite",  "Powell",
    "Prendergast",  "Qureshi",       "Ramanathan",    "Rawlinson",   "Reynolds",    "Roberts",        "Rodríguez",
    "Saldaña",      "Sánchez",       "Satterthwaite", "Schäfer",     "Shrestha",    "Sinclair",       "Singh",
    "Smith",        "Söderström",    "St John",       "Stănescu",    "Szczepański", "Taylor",         "Thistlethwaite",
    "Thomas",       "Tremblay",      "Trewartha",     "Turnbull",    "Uddin",       "Underhill",      "van der Merwe",
    "Vaughan",      "Venkataraman",  "Wadsworth",     "Walker",      "Wałęsa",      "Whitehouse",     "Williams",
    "Winterbottom", "Wójcik",        "Wolstenholme",  "Wright",      "Yıldız",      "Yeboah",         "Yusuf",
    "Zając",        "Zieliński",     "Žukauskas",
};

static const char *const TITLES[] = {"Mr", "Mr", "Mr", "Ms", "Ms", "Mrs", "Miss", "Dr", "Mx", ""};

#define PICK(rng, list) ((list)[rng_below((rng), sizeof(list) / sizeof *(list))])

static size_t characters(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* Bytes of the first letter. */
static int initial(const char *s)
{
    int n = 1;
    while (((unsigned char)s[n] & 0xc0) == 0x80)
        n++;
    return n;
}

void synth_name(struct rng *rng, char *forenames, char *surname, char *on_card, char *title)
{
    const char *first = PICK(rng, FORENAMES), *second = PICK(rng, FORENAMES), *last = PICK(rng, SURNAMES);
    bool two = rng_percent(rng, 35), barrel = rng_percent(rng, 12), whole = rng_percent(rng, 55);
    uint32_t odd = rng_below(rng, 200);

    snprintf(forenames, FIELD_BYTES, two ? "%s %s" : "%s", first, second);
    if (barrel)
        snprintf(surname, FIELD_BYTES, "%s-%s", last, PICK(rng, SURNAMES));
    else
        snprintf(surname, FIELD_BYTES, odd == 0 ? "%s, Jr" : "%s", last);
    snprintf(title, FIELD_BYTES, "%s", PICK(rng, TITLES));

    /* What a CSV reader must get right: quotes and commas inside a name. */
    if (odd == 1)
        snprintf(on_card, FIELD_BYTES, "%s \"%s\" %s", first, second, last);
    else if (odd == 2)
        snprintf(on_card, FIELD_BYTES, "%s, %s", surname, first);
    else if (whole)
        snprintf(on_card, FIELD_BYTES, "%s %s", first, surname);
    else
        snprintf(on_card, FIELD_BYTES, "%.*s. %s", initial(first), first, surname);
    if (characters(on_card) > 40)
        snprintf(on_card, FIELD_BYTES, "%.*s. %s", initial(first), first, last);
}
