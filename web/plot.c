#include "web/plot.h"

#include "base/clock.h"
#include "base/memory.h"
#include "web/html.h"

#include <math.h>

/* In units of the SVG, which is scaled to the page. */
#define WIDTH  720.0
#define LEFT   84.0 /* for labels in the size of phones */
#define RIGHT  8.0
#define TOP    20.0
#define HEIGHT 96.0 /* of a plot; its labels stand below */
#define BELOW  28.0
#define DAY    86400
#define DAYS   366
#define DOTS   1500 /* about; of more, every so many-th */

struct plot {
    struct buf *b;
    int64_t from; /* the first second of the first day */
    int days;
    size_t count; /* published in them */
    double y;     /* the top of the plot */
};

static double x_of(const struct plot *p, int64_t at)
{
    double span = (double)p->days * DAY;
    return LEFT + (double)(at - p->from) / span * (WIDTH - LEFT - RIGHT);
}

static void grid(const struct plot *p, double share, const struct buf *label)
{
    double y = p->y + HEIGHT * (1 - share);
    buf_addf(p->b, "<line class=\"grid\" x1=\"%.0f\" x2=\"%.0f\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
             WIDTH - RIGHT, y, y);
    buf_addf(p->b, "<text class=\"end\" x=\"%.0f\" y=\"%.1f\">%s</text>", LEFT - 6, y + 4,
             label->data);
}

/* A label each day, or each few. */
static void time_axis(const struct plot *p)
{
    int step = (p->days + 6) / 7;
    for (int day = 0; day < p->days; day += step) {
        struct clock_text t = clock_text(p->from + (int64_t)day * DAY);
        buf_addf(p->b, "<text x=\"%.1f\" y=\"%.1f\">%.5s</text>",
                 x_of(p, p->from + (int64_t)day * DAY), p->y + HEIGHT + 18, t.s + 5);
    }
}

static void title(const struct plot *p, const char *text)
{
    buf_addf(p->b, "<text class=\"title\" x=\"%.0f\" y=\"%.1f\">%s</text>", LEFT, p->y - 5, text);
}

static bool is_in(const struct plot *p, const struct history_item *item)
{
    return item->what == HISTORY_PUBLISHED && item->at >= p->from &&
           item->at < p->from + (int64_t)p->days * DAY;
}

/* 1, 2 or 5 times a power of ten, not below n. */
static double round_up(double n)
{
    double power = pow(10, floor(log10(n)));
    return n <= power       ? power
           : n <= 2 * power ? 2 * power
           : n <= 5 * power ? 5 * power
                            : 10 * power;
}

static void volumes(const struct plot *p, const struct history *history)
{
    struct {
        uint64_t bytes, images;
    } days[DAYS] = {{0, 0}};
    uint64_t most = 1;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_item *item = &history->items[i];
        if (!is_in(p, item))
            continue;
        int64_t day = (item->at - p->from) / DAY;
        days[day].images++;
        days[day].bytes += item->bytes_new;
        most = days[day].bytes > most ? days[day].bytes : most;
    }
    double top = round_up((double)most);
    _cleanup_buf_ struct buf zero = BUF_INIT, half = BUF_INIT, full = BUF_INIT;
    buf_adds(&zero, "0");
    html_size(&half, (uint64_t)(top / 2));
    html_size(&full, (uint64_t)top);
    title(p, "New content each day");
    grid(p, 0, &zero);
    grid(p, 0.5, &half);
    grid(p, 1, &full);
    double width = (WIDTH - LEFT - RIGHT) / p->days;
    for (int day = 0; day < p->days; day++) {
        if (days[day].images == 0)
            continue;
        double h = fmax(1.5, (double)days[day].bytes / top * HEIGHT);
        buf_addf(p->b,
                 "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>",
                 LEFT + day * width + width * 0.1, p->y + HEIGHT - h, width * 0.8, h);
        buf_addf(p->b, "%.10s: %llu published, ", clock_text(p->from + (int64_t)day * DAY).s,
                 (unsigned long long)days[day].images);
        html_size(p->b, days[day].bytes);
        buf_adds(p->b, " new</title></rect>");
    }
    time_axis(p);
}

/* From a tenth of a second to a day, by powers of ten. */
static double share_of(double seconds)
{
    double share = (log10(fmax(seconds, 0.1)) + 1) / 6;
    return share > 1 ? 1 : share;
}

static void durations(const struct plot *p, const struct history *history)
{
    static const double lines[] = {0.1, 1, 10, 100, 1000, 10000};
    title(p, "From the change to published");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        _cleanup_buf_ struct buf label = BUF_INIT;
        html_seconds(&label, lines[i]);
        grid(p, share_of(lines[i]), &label);
    }
    size_t step = p->count / DOTS + 1, number = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_item *item = &history->items[i];
        if (!is_in(p, item) || number++ % step != 0)
            continue;
        buf_addf(p->b, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"><title>",
                 x_of(p, item->at), p->y + HEIGHT * (1 - share_of(item->seconds)));
        html_text(p->b, item->name);
        buf_adds(p->b, ": ");
        html_seconds(p->b, item->seconds);
        buf_adds(p->b, "</title></circle>");
    }
    time_axis(p);
}

void plot_publications(struct buf *b, const struct history *history, int64_t now, int days)
{
    days = days > DAYS ? DAYS : days;
    struct plot p = {.b = b, .from = now - now % DAY - (int64_t)(days - 1) * DAY, .days = days};
    for (size_t i = 0; i < history->count; i++)
        p.count += is_in(&p, &history->items[i]);
    if (p.count == 0)
        return;
    double height = 2 * (TOP + HEIGHT + BELOW) + 6;
    buf_addf(b,
             "<svg class=\"plot\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"%zu images "
             "published in %d days: new content each day, and how long each took\">",
             WIDTH, height, p.count, days);
    p.y = TOP;
    volumes(&p, history);
    p.y = TOP + HEIGHT + BELOW + TOP + 6;
    durations(&p, history);
    buf_adds(b, "</svg>\n");
}
