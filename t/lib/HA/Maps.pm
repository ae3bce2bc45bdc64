# SPDX-License-Identifier: Apache-2.0
# Owns what the maps of several daemons have said while it looked: a process of its own reads all of
# them every 20 ms, whatever the test waits for. And the judgement of what no cluster's maps may do;
# what else they should say it does not know.
package HA::Maps;
use v5.36;

use Time::HiRes qw(CLOCK_MONOTONIC clock_gettime sleep);

use HA::Zerod;

use constant LOOK_SECONDS => 0.02;
# What a line of its file begins with; members follow.
use constant FIELDS => qw(node version term primary sum from to);

my $watches = 0;

# Looks at the maps of these daemons from now on.
sub new($class, $t, @zerods)
{
    my $name = 'maps-' . ++$watches;
    my $self = bless {t => $t, file => $t->write_file($name, '')}, $class;
    $self->{pid} = $t->spawn($name, code => sub { _look($self->{file}, @zerods) });
    $t->wait_for(sub { @{$self->seen} >= grep {defined $_->map_text} @zerods }, 10, 'a first look at the maps');
    return $self;
}

# What the map of a daemon says now: {node, version, term, primary, sum, from, to, members => {APP/ROUTE =>
# URL}}; `sum` is that of its text, which was read between `from` and `to`, by the monotonic clock. Undef
# when there is none, or when its sum is the one that is known.
sub look_at($zerod, $known = '')
{
    my $from = clock_gettime(CLOCK_MONOTONIC);
    my $text = $zerod->map_text // return undef;
    my %one = (node => $zerod->{id}, sum => HA::Zerod::sha256($text), from => $from, to => clock_gettime(CLOCK_MONOTONIC));
    return undef if $one{sum} eq $known;
    my $map = HA::Zerod::map_of($text);
    @one{qw(version term primary)} = (@$map{qw(version term)}, $map->{primary} // '-');
    for my $app (@{$map->{apps}}) {
        $one{members}{"$app->{name}/$_->{route}"} = $_->{url} for grep {$_->{url}} @{$app->{members} // []};
    }
    return \%one;
}

# Until SIGTERM; after that once more, so what is there when it is told to end is seen.
sub _look($file, @zerods)
{
    my ($ends, %last) = (0);
    local $SIG{TERM} = sub { $ends = 1 };
    open(my $out, '>>', $file) or die "$file: $!\n";
    while (1) {
        my $is_last = $ends;
        for my $zerod (@zerods) {
            my $one = look_at($zerod, $last{$zerod->{id}} // '') // next;
            my %members = %{$one->{members} // {}};
            $last{$zerod->{id}} = $one->{sum};
            syswrite $out, join(' ', @$one{+FIELDS}, map {"$_=$members{$_}"} sort keys %members) . "\n";
        }
        return if $is_last;
        sleep LOOK_SECONDS;
    }
    return;
}

# All that was seen, in that order, each as look_at() has it.
sub seen($self)
{
    open(my $in, '<', $self->{file}) or die "$self->{file}: $!\n";
    my @seen;
    while (my $line = <$in>) {
        my %one;
        last if $line !~ /\n\z/;
        (@one{+FIELDS}, my @members) = split ' ', $line;
        push @seen, {%one, members => {map {split /=/, $_, 2} @members}};
    }
    return \@seen;
}

sub wrongs($self) { return wrongs_in(@{$self->seen}) }

# What no cluster's maps may do, in words; none if they did not: a node goes back, a version has two
# texts, or a later one is of an earlier term.
sub wrongs_in(@seen)
{
    my (%before, %by_version, @wrongs);
    for my $one (@seen) {
        my $was = $before{$one->{node}} // $one;
        my $same = $by_version{$one->{version}} //= $one;
        push @wrongs, "node $one->{node} went back from map $was->{version}, term $was->{term}, to $one->{version}, term $one->{term}"
            if $one->{version} < $was->{version} || $one->{term} < $was->{term};
        push @wrongs, "map $one->{version} of node $one->{node} is not that of node $same->{node}" if $one->{sum} ne $same->{sum};
        $before{$one->{node}} = $one;
    }
    my @versions = sort {$a <=> $b} keys %by_version;
    for my $i (1 .. $#versions) {
        my ($one, $next) = @by_version{@versions[$i - 1, $i]};
        push @wrongs, "map $next->{version}, term $next->{term}, comes after map $one->{version}, term $one->{term}" if $next->{term} < $one->{term};
    }
    return @wrongs;
}

# Looks no more, but at what is there now.
sub stop($self)
{
    $self->{t}->signal($self->{pid}, 'TERM');
    $self->{t}->wait_end($self->{pid});
    return $self;
}

1;
