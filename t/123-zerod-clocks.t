# SPDX-License-Identifier: Apache-2.0
# Wall clocks that are set, or have been wrong all the time: nobody leads or is active by the time of
# day, and what happened is told in the order in which it was agreed on.
use v5.36;

use HA::Clock;
use HA::Httpd;
use HA::Service;
use HA::Test;
use HA::Zerod;
use Time::HiRes qw(time);

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant {LEASE_MS => 2000, ROUND_MS => 500, SOON => 30, DAY => 86_400, MINUTE => 60};

my $t = HA::Test->new;
my $service = HA::Service->new($t, 'service');
my @all = HA::Zerod->cluster($t, 'three', start => 0, service => $service, config => {timeout => LEASE_MS});
my %clock = map {$_->{id} => HA::Clock->new($t, "clock$_->{id}")} @all;

# Its clock is its own from its next start on; that of its scripts and its guard, too.
for my $zerod (@all) {
    my $env = $clock{$zerod->{id}}->env;
    my @before = grep {defined} HA::Httpd::runtime_env()->{LD_PRELOAD};
    $zerod->env(%$env, LD_PRELOAD => join ':', @before, $env->{LD_PRELOAD});
    $zerod->launch;
}

my ($leader, $active, @orders);

# Two of three: one leads, another one is active.
sub settled()
{
    $leader = HA::Zerod::leader_of(@all);
    $active = HA::Zerod::settled($service, @all);
    return;
}

# A new application, by this one.
sub order($zerod)
{
    my $name = 'App' . @orders;
    my $answer = $zerod->order('app-set', app => $name, single => \0);
    push @orders, $name;
    return $answer;
}

# When it was told of the last order, in seconds from the test's own clock on.
sub off_by($zerod)
{
    my ($event) = grep {$_->{what} =~ /^$orders[-1]: begins/} @{$zerod->ask({ask => 'history'})->{history}};
    return $event->{at} / 1000 - time;
}

# All that must not change.
sub state_now()
{
    return join ' ', map {"$_->[0]=$_->[1]"} (
        [leader => $leader->status->{leader} // $leader->{id}],
        [leads => join '+', map {$_->{id}} grep {$_->status->{leads}} @all],
        [term => join '+', map {$_->status->{term}} @all],
        [active => join '+', map {$_->{id}} grep {$_->role eq 'active'} @all],
        [epoch => $active->status->{replica}{epoch}],
        [services => scalar(my @lives = $service->lives)]
    );
}

# For longer than a lease is good without being renewed, with commands to all of them.
sub for_a_while($what)
{
    my ($next, @answers) = 0;
    my $orders = sub {
        my $now = HA::Service::now_ms();
        return if $now < $next;
        push @answers, map {$_->{id} . ': ' . (order($_) // 'none')} @all;
        $next = $now + ROUND_MS;
    };
    $t->pass_ms(LEASE_MS * 1.25, $orders);
    is(join("\n", grep {!/: done/} @answers), '', "$what: " . @answers . ' commands go on');
    return;
}

# By hand: this one is active.
sub moves_to($zerod)
{
    is($leader->ask({ask => 'switchover', to => $zerod->{id}})->{moves}, $zerod->{id}, "a switch to $zerod->{id}");
    $t->wait_for(sub { $zerod->role eq 'active' }, SOON, 'it to be active');
    settled();
    return;
}

settled();
for my $role ('the leader', 'the active one', 'one that does neither') {
    my %is = ('the leader' => sub { $leader }, 'the active one' => sub { $active }, 'one that does neither' => sub { (grep {$_ != $leader && $_ != $active} @all)[0] });
    subtest "the clock of $role is set" => sub {
        if ($leader == $active) {
            my ($to) = grep {$_ != $active} @all;
            HA::Zerod::hand_lead($to, @all);
            settled();
        }
        my $zerod = $is{$role}->();
        my $before = state_now();
        for my $step (DAY, -DAY, 0) {
            my $what = $step > 0 ? 'a day forward' : $step ? 'and two days back' : 'and right again';
            $clock{$zerod->{id}}->set($step);
            for_a_while($what) if $step;
            is(state_now(), $before, "$what: the same one leads, the same one is active");
            like(order($zerod), qr/^done/, 'a command that it is told');
            cmp_ok(abs(off_by($leader) - $step), '<', MINUTE, 'which it has taken at its own time');
        }
    };
}
is($service->overlap_ms, 0, 'H4: never two services at once');

subtest 'what happened is told in the order in which it was agreed on' => sub {
    for my $zerod (@all) {
        my $all = sub { my ($newest) = @{$zerod->ask({ask => 'history'})->{history}}; $newest->{what} =~ /^$orders[-1]:/ };
        $t->wait_for($all, SOON, 'all of it');
        my @history = reverse @{$zerod->ask({ask => 'history'})->{history}};
        my @told = map {$_->{what} =~ /^(App[0-9]+): begins/} @history;
        is("@told", "@orders[@orders - @told .. $#orders]", "by $zerod->{id}");
        is(join(' ', map {$_->{index}} @history), join(' ', sort {$a <=> $b} map {$_->{index}} @history), 'by rising numbers');
        my $said = $zerod->said;
        is(join(' ', grep {$said !~ /^\S+ zerod\[$zerod->{id}\]: $_: begins/m} @orders), '', 'and its log has all that it has seen');
    }
};

subtest 'one that begins with a clock that is a day off' => sub {
    my ($late) = grep {$_ != $leader && $_ != $active} @all;
    for my $step (DAY, -DAY) {
        my $what = $step > 0 ? 'too late' : 'too early';
        is($late->stop, 0, "it is stopped, to be a day $what");
        like(order($leader), qr/^done/, 'a command without it');
        my $missed = $orders[-1];
        $clock{$late->{id}}->set($step);
        $late->launch;
        $t->wait_for(sub { $late->running && ($late->status // {version => 0})->{version} == $leader->status->{version} && $late->role eq 'passive' }, SOON, 'it to be one of them');
        like(order($late), qr/^done/, 'it joins, and takes commands');
        cmp_ok(abs(off_by($leader) - $step), '<', MINUTE, 'at its own time');
        like(order($leader), qr/^done/, 'so does the leader');
        $t->wait_for(sub { $late->said =~ /: $orders[-1]: begins/ }, SOON, 'a line of it');
        pass('which its log says, too');
        like($late->said, qr/: $missed: begins/, 'as it does what happened without it');
        moves_to($late);
        pass('it takes over');
        moves_to((grep {$_ != $late} @all)[0]);
    }
    is($service->overlap_ms, 0, 'H4: never two services at once');
    my %lines;
    $lines{$_}++ for $late->said =~ /: (App[0-9]+): begins/g;
    is(join(' ', grep {$lines{$_} > 1} sort keys %lines), '', 'its log tells nothing once more when it begins again');
};

$_->stop for @all;
$service->kill_all;
$t->done;
