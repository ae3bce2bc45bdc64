# SPDX-License-Identifier: Apache-2.0
# Owns requests each of which has an answer that is only its own, and how it is told. Sends nothing.
package HA::Exchange;
use v5.36;

use Digest::SHA qw(sha256_hex);
use Exporter qw(import);

use HA::Client;

our @EXPORT_OK = qw(request exchange echo upload bytes step);

# The bytes of a request. Options as HA::Client's format_request, and host => 'localhost'.
sub request($method, $path, %opt)
{
    state $client = HA::Client->new(cookies => 0);
    my %headers = (Host => delete $opt{host} // 'localhost', %{delete $opt{headers} // {}});
    return $client->format_request($method, $path, %opt, headers => \%headers);
}

# An exchange: [bytes, METHOD, check], where a check says why an answer is not the right one.
sub exchange($method, $path, $is_right, %opt)
{
    my $check = sub ($answer) {
        return undef if $is_right->($answer);
        return join ' ', 'not its answer:', $answer->status, substr $answer->body, 0, 200;
    };
    return [request($method, $path, %opt), $method, $check];
}

# Of an instance, below /App unless path says more.
sub echo($tag, %opt)
{
    my $path = delete $opt{path} // '/App/echo';
    my $is_right = sub ($answer) { $answer->status == 200 && $answer->body =~ /^X-Request-Tag: \Q$tag\E\r$/m };
    return exchange(GET => $path, $is_right, headers => {'X-Request-Tag' => $tag}, %opt);
}

# A body of size bytes or a few more, with a length or in chunks as the tag has it.
sub upload($tag, %opt)
{
    my $method = delete $opt{method} // 'POST';
    my $body = "$tag\n" x (1 + (delete $opt{size} // 2000) / length "$tag\n");
    my $right = length($body) . ' ' . sha256_hex($body) . "\n";
    my $is_right = sub ($answer) { $answer->status == 200 && $answer->body eq $right };
    my @body = $tag =~ /[02468]$/ ? (body => $body) : (chunks => [unpack '(a1000)*', $body]);
    return exchange($method => '/App/upload', $is_right, @body, %opt);
}

# An answer of n bytes; further arguments of the page behind a "&".
sub bytes($n, $page = 'bytes', $more = '')
{
    my $is_right = sub ($answer) { $answer->status == 200 && $answer->body eq HA::Client::content($n) };
    return exchange(GET => "/App/$page?n=$n$more", $is_right);
}

# A step of HA::Crowd that is these exchanges at once.
sub step($exchanges, %opt)
{
    return {
        bytes => join('', map {$_->[0]} @$exchanges),
        answers => [map {[@$_[1, 2]]} @$exchanges],
        %opt,
    };
}

1;
