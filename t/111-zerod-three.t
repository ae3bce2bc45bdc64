# SPDX-License-Identifier: Apache-2.0
# Daemons of several hosts, each a process with its own folder, over TLS on loopback: one leads, all
# have the same map, and what was acknowledged stays whoever is killed.
use v5.36;

use HA::Maps;
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

my $t = HA::Test->new;

sub apps($zerod)
{
    return join ' ', sort map {$_->{name}} @{$zerod->map->{apps}};
}

# How often an application has begun, by the history of a node.
sub begun($zerod, $app)
{
    return scalar grep {$_->{what} =~ /^\Q$app\E: begins, /} @{$zerod->ask({ask => 'history'})->{history}};
}

my @three = HA::Zerod->cluster($t, 'three');

subtest 'three agree' => sub {
    my $leader = HA::Zerod::leader_of(@three);
    HA::Zerod::same_map('G2: the same version is the same bytes on every node', @three);
    is($leader->order('app-set', app => 'App', single => \0), 'done ' . $leader->status->{version}, 'the leader takes a command');
    $t->wait_for(sub { !grep {apps($_) ne 'App Voting'} @three }, 10, 'it to come to all');
    HA::Zerod::same_map('and all have it', @three);
};

subtest 'G8, G5: the leader is killed, and comes back with an old map' => sub {
    my $leader = HA::Zerod::leader_of(@three);
    my $version = $leader->map->{version};
    $leader->kill;
    my @rest = HA::Zerod::others([$leader], @three);
    my $next = HA::Zerod::leader_of(@rest);
    isnt($next->{id}, $leader->{id}, 'G8: the leader is killed, and another one leads');
    cmp_ok($next->map->{version}, '>', $version, 'with a later map');
    cmp_ok($next->map->{term}, '>', 1, 'of a later term');
    is($next->order('app-set', app => 'Store', single => \0), 'done ' . $next->status->{version}, 'which takes commands');
    like($next->order('app-set', app => "Next$_", single => \0), qr/^done /, "and more of them: $_") for 1 .. 3;
    $t->wait_for(sub { apps($next) =~ /Next3/ }, 10, 'its map to say so');
    cmp_ok($next->map->{version} - $leader->map->{version}, '>=', 4, 'G5: the map of the old leader is several versions behind');
    my $term = $next->status->{term};
    $leader->env(AIS_IS_PRIMARY => 'true');
    $leader->launch;
    $leader->env;
    $t->wait_for(sub { ($leader->status // {version => 0})->{version} == $next->status->{version} }, 10, 'the old one to follow');
    ok(!$leader->status->{leads}, 'G5: it comes back as one of the others, though its environment says AIS_IS_PRIMARY=true');
    HA::Zerod::same_map('with the same map', @three);
    is(HA::Zerod::leader_of(@three)->{id}, $next->{id}, 'who leads goes on');
    is($next->status->{term}, $term, 'in the same term');
    is(apps($leader), 'App Next1 Next2 Next3 Store Voting', 'and nothing is missing');
};

subtest 'G15: an ex-primary that was paused installs its map nowhere' => sub {
    my $ex = HA::Zerod::leader_of(@three);
    my $term = $ex->map->{term};
    my $maps = HA::Maps->new($t, @three);
    my $before = length $ex->said;
    $ex->pause;
    $t->wait_stopped($ex->pid);
    my %late = (app => 'Late', single => \0, client => 'late', seq => 1);
    my $answer = $ex->ask_later({ask => 'command', command => {do => 'app-set', %late}});
    my @rest = HA::Zerod::others([$ex], @three);
    my $next = HA::Zerod::leader_of(@rest);
    my $made;
    $t->wait_for(sub { ($made) = grep {$_->{primary} eq $next->{id}} @{$maps->seen} }, 10, 'a look at its map');
    cmp_ok($made->{term}, '>', $term, 'while it stands still, another one leads in a later term');
    like($next->order('app-set', app => 'While', single => \0), qr/^done /, 'and changes the map');
    $t->wait_for(sub { apps($next) =~ /While/ }, 10, 'its map to say so');
    my $version = $next->map->{version};
    is(apps($ex) =~ /While|Late/, '', 'of which the ex-primary knows nothing');

    $ex->resume;
    ok(eval { $t->wait_for(sub { substr($ex->said, $before) =~ /term \d+: leads no more$/m }, 20); 1 }, 'it goes on, and says that it leads no more');
    my $said = $answer->();
    if (($said->{end} // '') eq 'done') {
        cmp_ok($said->{version}, '>', $version, 'what it was told meanwhile is carried out through the new leader, in a later map');
    } else {
        like($said->{error}, qr/may be (?:carried out|done) or not/, 'what it was told meanwhile is not done');
    }
    HA::Zerod::same_map('all agree again', @three);
    cmp_ok(begun($next, 'Late'), '<=', 1, 'nor twice');
    my $again = $next->order('app-set', %late);
    like($again, qr/^done (\d+)$/, 'the same again, and it is done');
    cmp_ok((split ' ', $again)[1], '>', $version, 'after all that the new leader had made');
    is($next->order('app-set', %late), $again, 'and again, and the answer is the same');
    HA::Zerod::same_map('all have the same map', @three);
    my $same_log = sub { my %indexes = map {$_->status->{index} => 1} @three; keys %indexes == 1 };
    ok(eval { $t->wait_for($same_log, 10); 1 }, 'and the same log');
    is(join(' ', map {begun($_, 'Late')} @three), '1 1 1', 'and it was carried out once');
    is($ex->status->{primary}, $next->{id}, 'the ex-primary knows who the primary is');

    my ($made_again) = $again =~ /(\d+)$/;
    ok(eval { $t->wait_for(sub { !grep {$_->map->{version} < $made_again} @three }, 10); 1 }, 'which is in the map of each');
    $maps->stop;
    is(join("\n", $maps->wrongs), '', 'no map went back all the while, in version or in term, and each version was one map');
    my @its = grep {$_->{primary} eq $ex->{id} && ($_->{version} >= $made->{version} || $_->{term} > $term)} @{$maps->seen};
    is(join(' ', map {"$_->{node}:$_->{version}"} @its), '', 'and none of those since names the ex-primary');
};

subtest 'G3: only the primary changes the map; a command sent elsewhere is carried out through it, or refused, naming the last one' => sub {
    my $leader = HA::Zerod::leader_of(@three);
    my $before = $leader->map;
    my @rest = HA::Zerod::others([$leader], @three);
    my $maps = HA::Maps->new($t, @three);
    for my $follower (@rest) {
        my $answer = $follower->order('app-set', app => "By$follower->{id}", single => \0);
        like($answer, qr/^done \d+$/, "$follower->{id} hands it on to the leader");
        is($follower->status->{primary}, $leader->{id}, 'and knows who the primary is');
        my ($event) = grep {/^By$follower->{id}: begins/} map {$_->{what}} @{$leader->ask({ask => 'history'})->{history}};
        like($event, qr/, by \w+\@$follower->{id}$/, 'the history says where it came from');
    }
    $t->wait_for(sub { !grep {apps($_) !~ /By$rest[0]{id} By$rest[1]{id}/} @three }, 10, 'both to come to all');
    $maps->stop;
    my @made = grep {$_->{version} > $before->{version}} @{$maps->seen};
    my %nodes = map {$_->{node} => 1} @made;
    is(join(' ', sort keys %nodes), '0 1 2', 'each node has a later map');
    is(join(' ', grep {$_ ne "$leader->{id}:$before->{term}"} map {"$_->{primary}:$_->{term}"} @made), '', 'and all of these are of the primary');
    is(join("\n", $maps->wrongs), '', 'each version is one map');

    my ($alone, $other) = @rest;
    $_->kill for $leader, $other;
    my $text = $alone->map_text;
    my $answer = $alone->order('app-set', app => 'Never', single => \0);
    is($answer, "error: there is no leader to be reached, the last one was $leader->{id}; what was asked for may be done or not", 'a node without a leader refuses, and says who it was');
    is($alone->map_text, $text, 'G11: one of three changes nothing, and keeps its map');
    ok(!$alone->status->{leads}, 'nor does it lead');
    $_->launch for $leader, $other;
    my $again = HA::Zerod::leader_of(@three);
    HA::Zerod::same_map('two more, and they go on', @three);
    is(apps($again), "App By$rest[0]{id} By$rest[1]{id} Late Next1 Next2 Next3 Store Voting While", 'with all that was acknowledged, and not what was refused');
};

subtest 'G11: the last one of three leads no more' => sub {
    my $leader = HA::Zerod::leader_of(@three);
    $_->kill for HA::Zerod::others([$leader], @three);
    $t->wait_for(sub { !$leader->status->{leads} }, 10, 'the last one to notice');
    pass('it does');
    is($_->stop, 0, "$_->{name} ends") for $leader;
};

subtest 'all are killed at once, again and again' => sub {
    my @all = HA::Zerod->cluster($t, 'storm');
    my @acknowledged;
    for my $round (1 .. 5) {
        my $leader = HA::Zerod::leader_of(@all);
        my $answer = $leader->order('app-set', app => "A$round", single => \0);
        like($answer, qr/^done/, "round $round: an answer");
        push @acknowledged, "A$round";
        $_->kill for @all;
        $_->launch for @all;
    }
    my $leader = HA::Zerod::leader_of(@all);
    is(apps($leader), join(' ', sort 'Voting', @acknowledged), 'nothing that was acknowledged is lost');
    $_->stop for @all;
};

subtest 'G12: a witness, and a voter that is not electable, have a vote, and never lead' => sub {
    my @all = HA::Zerod->cluster($t, 'barred', n => 2, more => {web => {role => 'witness'}, db => {electable => \0}});
    my $leader = HA::Zerod::leader_of(@all);
    my $maps = HA::Maps->new($t, @all);
    for my $time (1 .. 3) {
        $leader->kill;
        my $next = HA::Zerod::leader_of(HA::Zerod::others([$leader], @all));
        like($next->{id}, qr/^[01]$/, "the leader is killed, $time of 3: one leads that may");
        isnt($next->{id}, $leader->{id}, 'another one');
        $leader->launch;
        $leader = HA::Zerod::leader_of(@all);
    }
    my %nodes = map {$_->{id} => $_} @{$leader->map->{nodes}};
    is($nodes{web}{role}, 'witness', 'the map says who may not');
    is("$nodes{db}{role} $nodes{db}{electable}", 'voter 0', 'of both');
    my %why = (web => 'it is witness', db => 'it is not electable');
    for my $id (sort keys %why) {
        like($leader->order('lead', node => $id, term => 1000), qr/^refused \d+: node $id may not lead: $why{$id}$/, "nor does $id by hand");
        like($leader->order('prefer', node => $id), qr/^refused \d+: node $id may not lead: $why{$id}$/, 'in either way');
    }
    HA::Zerod::same_map('both have the map', @all);
    $maps->stop;
    is(join(' ', grep {/^(?:web|db)$/} map {$_->{primary}} @{$maps->seen}), '', 'no map has named one of the two as the primary');
    my %leaders = map {$_->{primary} => 1} @{$maps->seen};
    is(join(' ', sort keys %leaders), '0 1', 'only those that may');
    $_->stop for @all;
};

subtest 'who does not know the secret has no part' => sub {
    my @all = HA::Zerod->cluster($t, 'secret', start => 0);
    my ($stranger) = splice @all, 2, 1;
    my $secret = $t->write_file('other.secret', 'another secret of enough bytes, for a test');
    chmod 0600, $secret;
    $stranger->reconfigure(sub($config) { $config->{secretFile} = $secret });
    $_->launch for @all, $stranger;
    my $leader = HA::Zerod::leader_of(@all);
    ok($leader, 'two of three lead themselves');
    $t->wait_for(sub { $leader->said =~ /refused, the last one: / || $all[0]->said =~ /refused, the last one: / }, 10, 'a refusal');
    is($stranger->map_text, undef, 'the third one learns nothing');
    $_->stop for @all, $stranger;
    my ($code, $said);
    $t->write_file($secret, "short\n");
    chmod 0600, $secret;
    ($code, $said) = $stranger->refusal;
    like("$code $said", qr/^1 zerod: \S+: the secret has less than 32 bytes/, 'a short secret is refused');
    chmod 0644, $secret;
    ($code, $said) = $stranger->refusal;
    is($code, 3, 'and one that others can read');
};

subtest 'H1: a name that cannot be looked up is said, and the others go on' => sub {
    my @all = HA::Zerod->cluster($t, 'names', start => 0);
    pop @all;
    for my $zerod (@all) {
        $zerod->reconfigure(sub($config) { $config->{nodes}{2} = 'nobody.invalid:7946' });
        $zerod->env(RES_OPTIONS => 'timeout:1 attempts:1');
        $zerod->launch;
    }
    my $leader = HA::Zerod::leader_of(@all);
    my $says = qr/ nobody\.invalid: cannot be looked up: .*; it is tried again\n/;
    $t->wait_for(sub { $leader->said =~ $says }, 30, 'it to be said');
    my @bad = grep {$leader->order('app-set', app => "A$_", single => \0) !~ /^done/} 1 .. 10;
    is("@bad", '', 'commands are carried out');
    HA::Zerod::same_map('the others have the same map', @all);
    is(() = $leader->said =~ /$says/g, 1, 'it is said once');
    is($_->stop, 0, "$_->{name} ends") for @all;
};

$t->done;
