# SPDX-License-Identifier: Apache-2.0
# Owns reading a log file that somebody else appends to. Does not judge its lines.
package HA::Log;
use v5.36;

sub new($class, $path)
{
    return bless {path => $path, pos => 0, part => '', lines => [], next => {}, mark => 0}, $class;
}

sub path($self)
{
    return $self->{path};
}

# All whole lines written so far, as an array reference.
sub lines($self)
{
    open(my $in, '<:raw', $self->{path}) or return $self->{lines};
    seek($in, $self->{pos}, 0);
    local $/;
    my $new = <$in> // '';
    $self->{pos} += length $new;
    my @lines = split /\n/, $self->{part} . $new, -1;
    $self->{part} = pop(@lines) // '';
    push @{$self->{lines}}, @lines;
    return $self->{lines};
}

# The whole text, with a last line that may not be complete.
sub text($self)
{
    return join('', map {"$_\n"} @{$self->lines}) . $self->{part};
}

# The next line that matches; each line satisfies the same pattern once. Undef when there is none.
sub take($self, $pattern)
{
    my $lines = $self->lines;
    my $at = $self->{next}{$pattern} // 0;
    $at = $self->{mark} if $at < $self->{mark};
    for (; $at < @$lines; $at++) {
        next if $lines->[$at] !~ $pattern;
        $self->{next}{$pattern} = $at + 1;
        return $lines->[$at];
    }
    $self->{next}{$pattern} = $at;
    return undef;
}

# Lines before now satisfy no pattern from now on.
sub mark($self)
{
    $self->{mark} = @{$self->lines};
    return;
}

# How many lines match.
sub count($self, $pattern)
{
    return scalar grep {/$pattern/} @{$self->lines};
}

1;
