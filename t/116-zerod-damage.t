# SPDX-License-Identifier: Apache-2.0
# A file of one of three daemons is cut or has another bit: the daemon names it, ends and changes
# nothing, or it comes up and gets what it lacks from the others. What was acknowledged is there. What a
# kill leaves is no damage.
use v5.36;

use File::Path qw(remove_tree);
use HA::Test;
use HA::Zerod;

plan skip_all => 'zerod is not built: libraft or libuv is missing' if !-x HA::Zerod::program();

use constant {SOON => 40, SNAPSHOT => 1024};

my $t = HA::Test->new;
my @all = HA::Zerod->cluster($t, 'three');
my $leader = HA::Zerod::leader_of(@all);
my @acknowledged;

sub others(@not) { return HA::Zerod::others(\@not, @all) }

# Applications that are acknowledged; the last ones replace those before, as a map has no room for all.
my $n = 0;

sub orders($zerod, $count)
{
    for (1 .. $count) {
        my $name = sprintf 'A%d', $n++ % 40;
        my $single = $n % 80 < 40 ? \0 : \1;
        my $answer = $zerod->order('app-set', app => $name, single => $single);
        return fail("$name: " . ($answer // 'nobody answers')) if ($answer // '') !~ /^done /;
        push @acknowledged, "$name $$single";
    }
    return;
}

# What the map says of what was acknowledged, where it differs.
sub lost($zerod)
{
    my %last = map {split / /} @acknowledged;
    my %there = map {$_->{name} => exists $_->{active} ? 1 : 0} @{$zerod->map->{apps}};
    return join ' ', grep {($there{$_} // 'none') ne $last{$_}} sort keys %last;
}

# All have the same map and log, with all that was acknowledged: what is wrong, or ''.
sub wrong()
{
    $leader = eval { HA::Zerod::leader_of(@all) } // return 'no leader that all agree on';
    eval { HA::Zerod::same_history(@all); 1 } or return 'not the same log';
    my $written = sub {
        my $version = ($leader->status // {version => -1})->{version};
        return !grep {($_->status // {written => 0})->{written} != $version} @all;
    };
    eval { $t->wait_for($written, SOON, 'the map'); 1 } or return 'not the same map';
    return join ' ', grep {$_ ne ''} map {lost($_)} @all;
}

# --- files ----------------------------------------------------------------------------------------

sub put($path, $bytes)
{
    open(my $out, '>:raw', $path) or die "$path: $!\n";
    print $out $bytes;
    return close $out;
}

# All files of a folder but its lock: name => bytes.
sub files($zerod)
{
    my $dir = $zerod->data;
    my %files;
    for my $path (grep {-f} glob "$dir/* $dir/raft/*") {
        open(my $in, '<:raw', $path) or die "$path: $!\n";
        local $/;
        $files{substr $path, 1 + length $dir} = scalar(<$in>) // '';
    }
    delete $files{lock};
    return %files;
}

# How many bytes something is in.
sub used($bytes)
{
    return length($bytes =~ s/\0+\z//r);
}

# Damages of a file: those with their names, as they make it from its bytes.
sub cuts(@at)
{
    return map {my $at = $_; ["cut at $at", sub($bytes) { substr $bytes, 0, $at < 1 && $at > 0 ? int($at * used($bytes)) : $at }]} @at;
}

sub flips(@at)
{
    return map {
        my $at = $_;
        ["another bit at $at", sub($bytes) { my $place = $at < 1 && $at > 0 ? int($at * used($bytes)) : $at; substr($bytes, $place, 1) ^.= "\x10"; $bytes }]
    } @at;
}

# What has to come of them.
sub refused(@damages)  { return map {[@$_, 'it is refused']} @damages }
sub comes_up(@damages) { return map {[@$_, 'it comes up']} @damages }

my %damages = (
    'a closed segment' => [refused(cuts(0, 0.5), flips(0, 16, 0.99))],
    'an open segment' => [refused(cuts(0, 4, 0.5), flips(0, 8, 0.3, 0.99))],
    'a snapshot' => [refused(cuts(0, 0.5), flips(0, 0.99))],
    'what a snapshot is of' => [refused(cuts(0, 0.99), flips(0, 16, 0.9))],
    'metadata1' => [refused(cuts(0, 16), flips(0, 8))],
    'metadata2' => [refused(cuts(0, 16), flips(0, 8))],
    'the map' => [comes_up(cuts(0.5), flips(0.5))],
    "the guard's page" => [comes_up(cuts(8), flips(6))],
    'how far it is written' => [comes_up(cuts(0), flips(0))],
);
my %of_leader = (
    'an open segment' => [refused(cuts(0.5), flips(0.3))],
    'a snapshot' => [refused(flips(0.5))],
    'metadata1' => [refused(cuts(0))],
);

# Kinds of files, by their names.
my %kinds = (
    'a closed segment' => qr{^raft/\d+-\d+$},
    'an open segment' => qr{^raft/open-\d+$},
    'a snapshot' => qr{^raft/snapshot-[\d-]+$},
    'what a snapshot is of' => qr{^raft/snapshot-[\d-]+\.meta$},
    'metadata1' => qr{^raft/metadata1$},
    'metadata2' => qr{^raft/metadata2$},
    'how far it is written' => qr{^raft/reached$},
    'the map' => qr{^map$},
    "the guard's page" => qr{^guard$},
    'the number' => qr{^number$},
);

# One is killed, its newest file of that kind is damaged, and it is started again. What must not come
# of it, or ''; refused, it gets the file back, and goes on.
sub damage($zerod, $kind, $make, $outcome)
{
    $zerod->kill;
    my %before = files($zerod);
    my ($name) = reverse sort grep {/$kinds{$kind}/ && $before{$_} =~ /[^\0]/} keys %before;
    return 'there is none' if !defined $name;
    my %damaged = (%before, $name => $make->($before{$name}));
    put($zerod->data . "/$name", $damaged{$name});
    $zerod->launch;
    $t->wait_for(sub { !$zerod->running || ($zerod->status // {version => 0})->{version} }, SOON, 'it to begin or to end');
    return $outcome eq 'it comes up' ? wrong() : 'it comes up' if $zerod->running;

    my $status = $t->ended($zerod->pid);
    $t->may_fail($zerod->pid);
    my $why = $zerod->said_now;
    my %after = files($zerod);
    my ($stem) = $name =~ m{([^/]+?)(?:\.meta)?$};
    put($zerod->data . "/$name", $before{$name});
    $zerod->launch;
    return "it has ended with $status" if $status != 1 << 8;
    return "it is refused: $why" if $outcome ne 'it is refused';
    return "its sentence does not name $stem: $why" if $why !~ /\Q$stem\E/;
    my @changed = grep {!defined $after{$_} || !defined $damaged{$_} || $after{$_} ne $damaged{$_}} keys %{{%after, %damaged}};
    return "it has changed @changed" if @changed;
    return wrong();
}

# --- the tests ------------------------------------------------------------------------------------

is(wrong(), '', 'three agree');
orders($leader, SNAPSHOT + 40);
is(wrong(), '', 'on many commands');

sub try_all($zerod_of, %what)
{
    for my $kind (sort keys %what) {
        for my $damage (@{$what{$kind}}) {
            my ($how, $make, $outcome) = @$damage;
            orders($leader, 2);
            is(wrong() || damage($zerod_of->(), $kind, $make, $outcome), '', "$kind, $how: $outcome");
        }
    }
    return;
}

subtest 'a follower' => sub {
    try_all(sub { (others($leader))[0] }, %damages);
};

subtest 'the leader' => sub {
    try_all(sub { $leader }, %of_leader);
};

subtest 'all are killed, and one of them has a damaged log' => sub {
    orders($leader, 2);
    is(wrong(), '', 'all have the same');
    my ($one) = others($leader);
    $_->kill for @all;
    my %files = files($one);
    my ($name) = reverse sort grep {/$kinds{'an open segment'}/ && $files{$_} =~ /[^\0]/} keys %files;
    put($one->data . "/$name", substr $files{$name}, 0, int(used($files{$name}) / 2));
    $_->launch for @all;
    $leader = HA::Zerod::leader_of(others($one));
    $t->wait_for(sub { !$one->running }, SOON, 'it to be refused');
    $t->may_fail($one->pid);
    orders($leader, 2);
    ok(eval { $t->wait_for(sub { lost($leader) eq '' }, SOON, 'the map'); 1 }, 'the others go on without it, with all that was acknowledged');
};

subtest 'a node that is refused leaves, and joins anew with an empty folder' => sub {
    my ($one) = grep {!$_->running} @all;
    ($one->{address}) = map {$_->{address}} grep {$_->{id} eq $one->{id}} @{$leader->ask({ask => 'cluster'})->{nodes}};
    like($leader->order('node-remove', node => $one->{id}), qr/^done/, 'it leaves');
    remove_tree($one->data);
    like(HA::Zerod::enlist($leader, $one), qr/^done/, 'the cluster is told of it');
    $one->{joins} = 1;
    $one->launch;
    is(wrong(), '', 'it has all');
    my ($other) = others($one, $leader);
    $other->kill;
    orders($leader, 2);
    ok($leader->running, 'it counts where another one is missing');
    $other->launch;
    is(wrong(), '', 'all are there');
    my $other_number = sub($bytes) { substr($bytes, 0, 1) ^.= "\x01"; return $bytes };
    is(damage($one, 'the number', @$_[1, 2]), '', "the number, $$_[0]: $$_[2]") for refused(cuts(0, 2), ['another one', $other_number]);
};

# --- what a kill leaves ---------------------------------------------------------------------------

use constant SEGMENT => 1 << 20;

# [FIRST, LAST, PATH] of the closed segments of one, the oldest first.
sub closed($zerod)
{
    return map {m{/0*(\d+)-0*(\d+)$} ? [$1, $2, $_] : ()} sort glob $zerod->data . '/raft/[0-9]*-*';
}

# As libraft does it just before it is killed: files, by their names; a segment by its entries; what it
# has prepared; and how far the log is written by then.
sub leave($zerod, %files)
{
    my $dir = $zerod->data . '/raft';
    put("$dir/$_", $files{$_}) for keys %files;
    return;
}

sub segment($first, $last) { return sprintf '%016d-%016d', $first, $last }
sub prepared()             { return ('open-1' => "\0" x SEGMENT, 'open-2' => "\0" x SEGMENT) }
sub reached($index)        { return (reached => pack 'Q<Q<', $index, ~$index) }

# How many entries are in the first batch of a segment, and where that ends.
sub first_batch($bytes)
{
    my $n = unpack 'Q<', substr $bytes, 16, 8;
    my $at = 24 + 16 * $n;
    $at += unpack 'L<', substr $bytes, 24 + 16 * $_ + 12, 4 for 0 .. $n - 1;
    return ($n, $at);
}

# All end, by a kill or by themselves, which closes their segments; one of them is left so, and all are
# started again. What must not come of it, or ''.
sub killed($how, $lay)
{
    orders($leader, 4);
    my $before = wrong();
    return $before if $before ne '';
    my ($one) = grep {my @metas = glob $_->data . '/raft/snapshot-*.meta'; @metas} others($leader);
    $how eq 'killed' ? $_->kill : $_->stop for @all;
    $lay->($one);
    $_->launch for @all;
    return wrong();
}

subtest 'a daemon that was killed in the middle of a work' => sub {
    my $noted = sub($one) {
        my ($open) = map {/open-(\d+)$/ ? $1 : ()} grep {HA::Zerod::slurp($_) =~ /[^\0]/} glob $one->data . '/raft/open-*';
        leave($one, 'cut-' . (closed($one))[-1][1] => "$open\n");
    };
    is(killed('killed', $noted), '', 'a cut was noted, and nothing was closed');

    my $power = sub($one) { leave($one, 'cut-' . (closed($one))[-1][1] => '') };
    is(killed('killed', $power), '', 'a cut was being noted');

    my $gap = sub($one) {
        my ($cut) = (closed($one))[-2];
        unlink $cut->[2];
        leave($one, "cut-$cut->[0]" => "7\n", prepared(), reached($cut->[0] - 1));
    };
    is(killed('ended', $gap), '', 'the first segment of a cut was removed, and not the last one');

    my $both = sub($one) {
        my ($cut) = (closed($one))[-1];
        my $bytes = HA::Zerod::slurp($cut->[2]);
        my ($n, $end) = first_batch($bytes);
        my $index = $cut->[0] + $n;
        die "$cut->[2] has one batch only\n" if $index > $cut->[1];
        leave($one, segment($cut->[0], $index - 1) => substr($bytes, 0, $end), "cut-$index" => "7\n", prepared(), reached($index - 1));
    };
    is(killed('ended', $both), '', 'a segment that is cut was written anew, and not removed');

    my $installed = sub($one) {
        my ($last) = sort {$b <=> $a} map {/snapshot-\d+-(\d+)-\d+[.]meta$/ ? $1 : ()} glob $one->data . '/raft/snapshot-*';
        unlink $_->[2] for closed($one);
        leave($one, segment($last - 300, $last - 200) => 'of before it', prepared(), reached(0));
    };
    is(killed('ended', $installed), '', "a leader's snapshot was there, and the segments before it, too");
};

$_->stop for @all;
$t->done;
