#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# Owns the story of the demo of a cluster: what it starts, shows and expects. Does not build anything:
# that is tools/demo --cluster, which starts this with the test harness in t/lib.
use v5.36;

use JSON::PP ();
use Time::HiRes qw(sleep time);

use HA::Mount qw(balancer);
use HA::Story;
use HA::Test ();
use HA::Zerod;

use constant {RATE => 25, MOST_REQUESTS => 1_000_000, WAIT_SECONDS => 30, RESTART_SECONDS => 5, SHOWN_APP => 'App', SHOWN_SINGLE => 'Voting'};
use constant CALM => 2;    # seconds of load between two losses

my $once = "@ARGV" eq '--once';
my $zero = HA::Test::top_builddir() . '/zero';
my ($t, $story, @zerods, @proxies, @app, @port, %load);

sub narrate($text = '') { return $story->narrate($text) }

# --- the cluster ----------------------------------------------------------------------------------

# Where instance `id` of the active-passive application is, whether it runs or not.
sub single_url($id) { return "http://127.0.0.1:$port[$id]" }

sub ensure($role, $id)
{
    my $dir = $t->dir("service$id");
    return [
        HA::Test::top_srcdir() . '/tools/demo_ensure', $role, $dir, HA::Test::top_builddir() . '/t/app/appd',
        "-name=voting$id", "-context=/Voting", "-listen=127.0.0.1:$port[$id]", "-ports-file=$dir/ports"
    ];
}

sub start_daemons
{
    narrate('Three hosts, each with a zerod. On this machine they are three folders, and the network is loopback.');
    @port = map {$t->port} 0 .. 2;
    for my $id (0 .. 2) {
        mkdir $_ or die "$_: $!\n" for $t->dir("service$id"), $t->dir("map$id");
        chmod 0755, $t->dir("map$id");
    }
    my %nodes = map {
        $_ => {address => '127.0.0.1:' . $t->port, route => "voting$_", url => single_url($_), mapFile => $t->dir("map$_/map")}
    } 0 .. 2;
    my %scripts = map {("ensure-active-$_" => ensure(active => $_), "ensure-passive-$_" => ensure(passive => $_))} 0 .. 2;
    @zerods = HA::Zerod->cluster($t, 'host', config => {%scripts, nodes => \%nodes, appName => SHOWN_SINGLE, timeout => 5000});
    narrate('All have the same config.json, in which each node says where its proxy reads the map:');
    narrate();
    $story->show('"nodes": ' . JSON::PP->new->canonical->pretty->encode(\%nodes));
    return;
}

# Waits until one leads. That one.
sub who_leads
{
    my $leader;
    my $is_led = sub { ($leader) = grep {$_->running && ($_->status // {})->{leads}} @zerods };
    $story->step_wait('one that leads', WAIT_SECONDS, $is_led, sub ($) { "node $leader->{id} leads" }) or die "there is no cluster to go on with\n";
    return $leader;
}

# Waits until one leads and one is active. Both.
sub who_is_what
{
    my ($leader, $active);
    my $agreed = sub {
        ($leader, $active) = ();
        for my $zerod (grep {$_->running} @zerods) {
            my $status = $zerod->status // return 0;
            $leader = $zerod if $status->{leads} && ($status->{primary} // '') eq $zerod->{id};
            $active = $zerod if ($status->{replica}{role} // '') eq 'active';
        }
        return $leader && $active;
    };
    my $said = sub ($) { "node $leader->{id} leads, and voting$active->{id} is active" };
    $story->step_wait('one that leads, and one that is active', WAIT_SECONDS, $agreed, $said) or die "there is no cluster to go on with\n";
    return ($leader, $active);
}

# A command, as an operator gives it: again, if the lead has just changed hands. The version of the
# map that it made.
sub order($zerod, $do, %fields)
{
    narrate("  node $zerod->{id}\$ " . JSON::PP->new->canonical->encode({do => $do, %fields}));
    my $said;
    my $is_done = sub { ($said = $zerod->order($do, %fields) // 'no answer') =~ /^(?:done|unchanged) / };
    $story->step_wait($do, WAIT_SECONDS, $is_done, sub ($) { $said =~ s/ / in map /r });
    return $said =~ /(\d+)/ ? $1 : 0;
}

# A line of the log of each proxy that matches.
sub all_say($what, $pattern)
{
    for my $proxy (@proxies) {
        my $line;
        my $said = sub { defined($line = $proxy->log->take($pattern)) };
        my $sentence = sub ($) { "$proxy->{name} says: " . $line =~ s/^.*?(?=HAMap: |\w+: (?:member|active))//r };
        $story->step_wait("$proxy->{name} says $what", WAIT_SECONDS, $said, $sentence);
    }
    return;
}

# --- the proxies ----------------------------------------------------------------------------------

# What stands for an instance that is not there yet in a balancer's configuration.
package Place {
    sub new($class, $name, $url) { return bless {name => $name, url => $url}, $class }
    sub name($self)              { return $self->{name} }
    sub url($self)               { return $self->{url} }
}

sub configuration($id)
{
    my @places = map {Place->new("voting$_", single_url($_))} 0 .. 2;
    return join "\n", 'HAMap "' . $t->dir("map$id/map") . '"', 'HALane On',
        balancer(SHOWN_APP, \@app, check => 'interval=500ms'),
        balancer(SHOWN_SINGLE, \@places, ours => 'queue=1000 queue-timeout=20s', check => 'interval=500ms') =~ s{/App(?="|/)}{/Voting}gr;
}

sub start_proxies($leader)
{
    narrate();
    narrate('Two instances of an application run, and the cluster is told of them:');
    narrate();
    @app = map {$t->app($_, health => '/App/health')} qw(hostA hostB);
    order($leader, 'app-set', app => SHOWN_APP, single => \0);
    my $version;
    $version = order($leader, 'member-set', app => SHOWN_APP, route => $_->name, url => $_->url, weight => 1, admin => 'enabled') for @app;
    narrate();
    narrate('Two apache2 run on the hosts of nodes 1 and 2, and follow the maps of these:');
    narrate();
    $story->show(configuration(1));
    @proxies = map {
        $t->httpd(name => "proxy$_", haproxy => 1, modules => [qw(proxy proxy_http)], log_level => 'info haproxy:debug', config => configuration($_))
    } 1, 2;
    all_say("that it follows map $version", qr/HAMap: this child follows map $version/);
    narrate();
    narrate("  \$ zero map show $zerods[0]{dir}/hal0/map");
    $story->show(scalar qx("$zero" map show "@{[$zerods[0]->data]}/map"));
    return;
}

# --- the losses -----------------------------------------------------------------------------------

sub start_load
{
    narrate();
    narrate('From now on ' . RATE . ' requests a second are sent through each proxy to each of the two applications.');
    for my $proxy (@proxies) {
        for my $name (SHOWN_APP, SHOWN_SINGLE) {
            push @{$load{$name}}, $t->load(port => $proxy->port, path => "/$name/plain", rate => RATE, count => MOST_REQUESTS, timeout => WAIT_SECONDS);
        }
    }
    go_on();
    return;
}

sub go_on
{
    for my $name (keys %load) {
        $_->wait_progress($_->progress + RATE * CALM) for @{$load{$name}};
    }
    return;
}

sub lose_the_leader($leader)
{
    narrate();
    narrate('The daemon that leads is killed:');
    narrate();
    narrate("  \$ kill -9 @{[$leader->pid]}    # zerod of node $leader->{id}");
    $leader->kill;
    my $next = who_leads();
    narrate();
    narrate("It is started again, as systemd would do. The new leader takes commands, and the proxies follow:");
    narrate();
    $leader->start;
    order($next, 'member-set', app => SHOWN_APP, route => 'hostB', url => $app[1]->url, weight => 1, admin => 'drain');
    all_say('that hostB is drained', qr/member hostB: enabled -> drain/);
    order($next, 'member-set', app => SHOWN_APP, route => 'hostB', url => $app[1]->url, weight => 1, admin => 'enabled');
    all_say('that it is back', qr/member hostB: drain -> enabled/);
    go_on();
    return;
}

sub lose_the_active
{
    my ($leader, $active) = who_is_what();
    $story->step($active == $zerods[0], 'the active one is still the one of node 0, which has no proxy') or die "the story ends here\n";
    narrate();
    narrate("The host of voting$active->{id} is lost: its daemon, its scripts and the service. The others wait until the");
    narrate('lease of 5 seconds is over, as nobody can know whether it still runs. Requests wait in the queue.');
    narrate();
    narrate("  \$ kill -9 @{[join ' ', sort {$a <=> $b} keys %{{map {$_ => 1} $active->processes}}]}    # all of node $active->{id}");
    $t->mark;
    $active->lose;
    all_say('who is active', qr/active: \w+ -> voting\d, epoch \d+/);
    who_is_what();
    go_on();
    narrate();
    narrate("That host comes back. What runs there now is passive:");
    narrate();
    $active->start;
    my $passive = sub { $active->role eq 'passive' };
    $story->step_wait("node $active->{id} is passive", WAIT_SECONDS, $passive, sub ($) { "node $active->{id} is passive" });
    go_on();
    return;
}

sub count_requests
{
    narrate();
    $_->finish for map {@$_} values %load;
    for my $name (SHOWN_APP, SHOWN_SINGLE) {
        my ($sent, $failed, $longest, @why) = (0, 0, 0);
        for my $sum (map {$_->wait} @{delete $load{$name}}) {
            $sent += $sum->{sent};
            $failed += $sum->{failed};
            $longest = $sum->{max_ms} if $sum->{max_ms} > $longest;
            push @why, @{$sum->{failures}};
        }
        $story->step(!$failed, sprintf '/%s: %d requests were sent all the while, %d failed; the longest took %.1f s', $name, $sent, $failed, $longest / 1000);
        $story->show($_) for @why;
    }
    return;
}

sub whole_story
{
    start_daemons();
    my ($leader) = who_is_what();
    start_proxies($leader);
    start_load();
    lose_the_leader($leader);
    lose_the_active();
    count_requests();
    return;
}

# --- after the story ------------------------------------------------------------------------------

# Daemons and instances that somebody kills are started again after a while.
sub keep_running
{
    narrate();
    narrate('All this keeps running now:');
    for my $proxy (@proxies) {
        narrate("  $_   through $proxy->{name}") for $proxy->url('/App/'), $proxy->url('/Voting/');
    }
    narrate("  zerod of node $_->{id} has pid " . $_->pid . ': kill it, and reload the page') for @zerods;
    narrate('Ctrl-C ends it.');
    narrate();
    $t->mark;
    my %back_at;
    while (1) {
        for my $proxy (@proxies) {
            my $line;
            narrate("  $proxy->{name}  " . $line =~ s/^.*?(?=\w+: (?:member|active))//r)
                while defined($line = $proxy->log->take(qr/\w+: (?:member \w+|active): /));
        }
        for my $one (grep {!$_->running} @zerods, @app) {
            $back_at{$one} ||= time + RESTART_SECONDS;
            next if time < $back_at{$one};
            $one->start;
            narrate("  $one->{name} has started again, with pid " . $one->pid);
            delete $back_at{$one};
        }
        narrate() if $story->signal;
        sleep 0.2;
    }
    return;
}

# Stops what was started, first to last, and takes the folder away.
sub clean_up
{
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
    $story->end;
    narrate();
    narrate('Stopping apache2, the instances and the daemons ...');
    $t->expect_log(qr/^/);
    for my $zerod (grep {$_->pid} @zerods) {
        eval { $zerod->end; 1 } or print "  $@";
    }
    $t->stop_all;
    my @left = grep {/left process|did not end/} $t->problems;
    $t->remove;
    $story->step(!@left, @left ? "stopped, but: @left" : 'nothing is left running');
    return;
}

if (!-x HA::Zerod::program()) {
    print STDERR "tools/demo: zerod is not built here: libuv or libraft is missing\n";
    exit 1;
}
STDOUT->autoflush;
$t = HA::Test->new(keep => $ENV{HA_KEEP} ? 1 : 0);
$story = HA::Story->new($t);
for my $name (qw(INT TERM HUP PIPE)) {
    $SIG{$name} = sub ($got) { $story->interrupt($got) };
}
my $came_to_end = eval { whole_story(); 1 };
my $why = $@;
my $signal = $story->signal;
$story->step(0, "the story did not reach its end: $why") if !$came_to_end && !$signal;
eval { keep_running() } if $came_to_end && !$once && !$story->failed;
clean_up();
narrate();
if ($story->failed) {
    narrate('These steps did not come out:');
    $story->show($_) for $story->failed;
} else {
    narrate($came_to_end ? 'Every step came out.' : "SIG$signal came before the end.");
}
exit($came_to_end ? ($story->failed ? 1 : 0) : $signal ? 128 + {HUP => 1, INT => 2, PIPE => 13, TERM => 15}->{$signal} : 1);
