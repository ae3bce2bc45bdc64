# SPDX-License-Identifier: Apache-2.0
# Owns what the maps of several daemons have said while it looked: a process of its own reads all of
# them every 20 ms, whatever the test waits for. Does not know what they should say.
package HA::Maps;
use v5.36;

use Time::HiRes qw(sleep);

use constant LOOK_SECONDS => 0.02;

my $watches = 0;

# Looks at the maps of these daemons from now on.
sub new($class, $t, @zerods)
{
    my $name = 'maps-' . ++$watches;
    my $self = bless {t => $t, file => $t->write_file($name, '')}, $class;
    $self->{pid} = $t->spawn($name, code => sub { look($self->{file}, @zerods) });
    $t->wait_for(sub { @{$self->seen} >= grep {defined $_->map_text} @zerods }, 10, 'a first look at the maps');
    return $self;
}

sub look($file, @zerods)
{
    my %last;
    open(my $out, '>>', $file) or die "$file: $!\n";
    while (1) {
        for my $zerod (@zerods) {
            my $text = $zerod->map_text // next;
            next if $text eq ($last{$zerod->{id}} // '');
            $last{$zerod->{id}} = $text;
            my $map = HA::Zerod::map_of($text);
            my ($sum) = $text =~ /^zero-map \d+ \d+ (\w+)/;
            syswrite $out, join(' ', $zerod->{id}, @$map{qw(version term)}, $map->{primary} // '-', $sum) . "\n";
        }
        sleep LOOK_SECONDS;
    }
    return;
}

# All that was seen, in that order: [{node, version, term, primary, sum}].
sub seen($self)
{
    open(my $in, '<', $self->{file}) or die "$self->{file}: $!\n";
    my @seen;
    while (my $line = <$in>) {
        my %one;
        last if $line !~ /\n\z/;
        @one{qw(node version term primary sum)} = split ' ', $line;
        push @seen, \%one;
    }
    return \@seen;
}

# What no cluster's maps may do, in words; none if they did not: a node goes back, a version has two
# texts, or a later one is of an earlier term.
sub wrongs($self)
{
    my (%before, %by_version, @wrongs);
    for my $one (@{$self->seen}) {
        my $was = $before{$one->{node}} // $one;
        my $same = $by_version{$one->{version}} //= $one;
        push @wrongs, "$one->{node} went back from map $was->{version}, term $was->{term}, to $one->{version}, term $one->{term}"
            if $one->{version} < $was->{version} || $one->{term} < $was->{term};
        push @wrongs, "map $one->{version} of $one->{node} is not that of $same->{node}" if $one->{sum} ne $same->{sum};
        $before{$one->{node}} = $one;
    }
    my @versions = sort {$a <=> $b} keys %by_version;
    for my $i (1 .. $#versions) {
        my ($one, $next) = @by_version{@versions[$i - 1, $i]};
        push @wrongs, "map $next->{version}, term $next->{term}, comes after map $one->{version}, term $one->{term}" if $next->{term} < $one->{term};
    }
    return @wrongs;
}

# Looks no more.
sub stop($self)
{
    $self->{t}->signal($self->{pid}, 'TERM');
    $self->{t}->wait_end($self->{pid});
    return $self;
}

1;
