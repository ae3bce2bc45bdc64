# SPDX-License-Identifier: Apache-2.0
# What zerod tells systemd: that it is ready, that it lives for as long as it does, and that it stops.
use v5.36;

use IO::Select;
use IO::Socket::UNIX;
use Socket qw(SOCK_DGRAM);
use Time::HiRes qw(time);

use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

# The watchdog asks for a sign in this time; the daemon gives two.
use constant {WATCHDOG_MS => 1000, STARVED_SECONDS => 3};

my $t = HA::Test->new;
my $path = $t->dir('notify');
my $systemd = IO::Socket::UNIX->new(Local => $path, Type => SOCK_DGRAM) or die "$path: $!\n";

# The next thing that is said; undef after `seconds` of silence.
sub heard($seconds)
{
    return undef if !IO::Select->new($systemd)->can_read($seconds);
    recv $systemd, my $text, 1024, 0;
    return $text;
}

sub launch($zerod, %env)
{
    %env = (NOTIFY_SOCKET => $path, %env);
    $zerod->{pid} = $t->spawn($zerod->{name}, cmd => [$zerod->command('-d')], env => \%env, death => POSIX::SIGTERM);
    return $zerod;
}

subtest 'with a watchdog' => sub {
    my $zerod = HA::Zerod->new($t, 'watched', start => 0, config => {'ensure-active-0' => ['/bin/sh', '-c', 'env >"$HA_DIR/env.new" && mv "$HA_DIR/env.new" "$HA_DIR/env"']});
    launch($zerod, WATCHDOG_USEC => WATCHDOG_MS * 1000);
    is(heard(10), 'READY=1', 'it is ready');
    ok($zerod->status, 'and answers already');
    my $since = time;
    is(heard(WATCHDOG_MS / 1000), 'WATCHDOG=1', "it lives, $_ times") for 1 .. 5;
    cmp_ok(time - $since, '>', WATCHDOG_MS / 1000, 'and does not say so all the time');

    $t->signal($zerod->{pid}, 'STOP');
    $t->wait_stopped($zerod->{pid});
    1 while defined heard(0);
    is(heard(STARVED_SECONDS), undef, 'one that is stopped says nothing');
    $t->signal($zerod->{pid}, 'CONT');
    is(heard(WATCHDOG_MS / 1000), 'WATCHDOG=1', 'until it goes on');

    my $env = $zerod->data . '/env';
    $t->wait_for(sub { -e $env }, 10, 'a run of its script');
    open(my $in, '<', $env) or die "$env: $!\n";
    ok(!(grep {/^(?:NOTIFY_SOCKET|WATCHDOG_)/} <$in>), 'scripts have nobody to tell');

    $t->signal($zerod->{pid}, 'TERM');
    my $last;
    $t->wait_for(sub { ($last = heard(0.1) // '') eq 'STOPPING=1' }, 10, 'that it stops');
    is($last, 'STOPPING=1', 'it stops');
    is($t->wait_end($zerod->{pid}), 0, 'and ends');
    is(heard(0), undef, 'that is all');
};

subtest 'without one' => sub {
    my $zerod = launch(HA::Zerod->new($t, 'unwatched', start => 0));
    is(heard(10), 'READY=1', 'it is ready');
    is(heard(2), undef, 'nobody asks whether it lives');
    $zerod->stop;
    is(heard(2), 'STOPPING=1', 'it stops');
};

subtest 'one that cannot begin is not ready' => sub {
    my $zerod = HA::Zerod->new($t, 'unable', start => 0);
    mkdir $zerod->data;
    mkdir $zerod->data . '/control.sock';
    launch($zerod);
    $t->may_fail($zerod->{pid});
    isnt($t->wait_end($zerod->{pid}), 0, 'it ends');
    is(heard(1) // '', 'STOPPING=1', 'having said nothing else');
    is(heard(0), undef, 'at all');
};

close $systemd;
$t->done;
