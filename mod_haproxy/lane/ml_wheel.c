/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the timer wheel.
 *
 * A tick is a number of 7 digits to the base 64. A timer waits on the level of the highest digit
 * in which its tick differs from now, in the slot of its own digit there. With base 10 and now =
 * 1234: 1239 waits on level 0 in slot 9, 1251 on level 1 in slot 5. When now becomes 1250, level 1
 * slot 5 is emptied, and 1251 moves to level 0 slot 1. So a timer moves at most once a level, and
 * most are cancelled before they move at all.
 */
#include "ml_wheel.h"

#include <stddef.h>

enum { FIRING = ML_WHEEL_LEVELS * ML_WHEEL_SLOTS + 1 }; /* place of a timer about to fire */

static const uint64_t last_tick = (UINT64_C(1) << ML_WHEEL_BITS * ML_WHEEL_LEVELS) - 1;

static unsigned digit(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> level * ML_WHEEL_BITS) & (ML_WHEEL_SLOTS - 1);
}

static void list_init(ml_link_t *head)
{
    head->next = head->prev = head;
}

static bool list_empty(const ml_link_t *head)
{
    return head->next == head;
}

static void list_append(ml_link_t *head, ml_link_t *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

static void list_remove(ml_link_t *link)
{
    link->next->prev = link->prev;
    link->prev->next = link->next;
}

/* Moves all of `from` to `to`, which is overwritten. */
static void list_take(ml_link_t *to, ml_link_t *from)
{
    list_init(to);
    if (list_empty(from)) {
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

void ml_wheel_init(ml_wheel_t *wheel, uint64_t now)
{
    *wheel = (ml_wheel_t){.now = now};
    for (unsigned level = 0; level < ML_WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < ML_WHEEL_SLOTS; slot++) {
            list_init(&wheel->slots[level][slot]);
        }
    }
}

static void insert(ml_wheel_t *wheel, ml_timer_t *timer)
{
    uint64_t differs = timer->tick ^ wheel->now;
    unsigned level = differs ? (63 - (unsigned)__builtin_clzll(differs)) / ML_WHEEL_BITS : 0;
    unsigned slot = digit(timer->tick, level);
    list_append(&wheel->slots[level][slot], &timer->link);
    wheel->used[level] |= UINT64_C(1) << slot;
    timer->place = level * ML_WHEEL_SLOTS + slot + 1;
}

void ml_wheel_set(ml_wheel_t *wheel, ml_timer_t *timer, uint64_t tick)
{
    ml_wheel_cancel(wheel, timer);
    timer->tick = tick <= wheel->now ? wheel->now + 1 : tick < last_tick ? tick : last_tick;
    insert(wheel, timer);
}

void ml_wheel_cancel(ml_wheel_t *wheel, ml_timer_t *timer)
{
    if (timer->place == 0) {
        return;
    }
    list_remove(&timer->link);
    if (timer->place != FIRING) {
        unsigned level = (timer->place - 1) / ML_WHEEL_SLOTS;
        unsigned slot = (timer->place - 1) % ML_WHEEL_SLOTS;
        if (list_empty(&wheel->slots[level][slot])) {
            wheel->used[level] &= ~(UINT64_C(1) << slot);
        }
    }
    timer->place = 0;
}

/* The first slot in use, which is always on the lowest level in use, and the tick it begins at. */
static bool first_slot(unsigned *level, unsigned *slot, uint64_t *tick, const ml_wheel_t *wheel)
{
    for (unsigned l = 0; l < ML_WHEEL_LEVELS; l++) {
        /* On level 0 the digit of now itself may be in use: timers that have just moved down. */
        uint64_t ahead = (~UINT64_C(0) << digit(wheel->now, l)) << (l > 0);
        uint64_t used = wheel->used[l] & ahead;
        if (used == 0) {
            continue;
        }
        unsigned shift = l * ML_WHEEL_BITS;
        uint64_t below = (UINT64_C(1) << (shift + ML_WHEEL_BITS)) - 1;
        *level = l;
        *slot = (unsigned)__builtin_ctzll(used);
        *tick = (wheel->now & ~below) | (uint64_t)*slot << shift;
        return true;
    }
    return false;
}

bool ml_wheel_next(uint64_t *tick, const ml_wheel_t *wheel)
{
    unsigned level, slot;
    return first_slot(&level, &slot, tick, wheel);
}

static void move_down(ml_wheel_t *wheel, ml_link_t *list)
{
    while (!list_empty(list)) {
        ml_timer_t *timer = (ml_timer_t *)list->next;
        list_remove(&timer->link);
        insert(wheel, timer);
    }
}

static void fire_all(ml_link_t *list, ml_loop_t *loop)
{
    for (ml_link_t *link = list->next; link != list; link = link->next) {
        ((ml_timer_t *)link)->place = FIRING;
    }
    while (!list_empty(list)) { /* each may cancel others of the list */
        ml_timer_t *timer = (ml_timer_t *)list->next;
        list_remove(&timer->link);
        timer->place = 0;
        timer->fire(timer, loop);
    }
}

void ml_wheel_advance(ml_wheel_t *wheel, uint64_t now, ml_loop_t *loop)
{
    unsigned level, slot;
    uint64_t tick;
    while (first_slot(&level, &slot, &tick, wheel) && tick <= now) {
        ml_link_t list;
        wheel->now = tick;
        list_take(&list, &wheel->slots[level][slot]);
        wheel->used[level] &= ~(UINT64_C(1) << slot);
        if (level > 0) {
            move_down(wheel, &list);
        } else {
            fire_all(&list, loop);
        }
    }
    if (wheel->now < now) {
        wheel->now = now;
    }
}
