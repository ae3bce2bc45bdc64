# SPDX-License-Identifier: Apache-2.0
# The examples do what doc/zones.md asks of an application. The test says what the proxy would.
use v5.36;

use JSON::PP qw(decode_json encode_json);

use HA::Test;
use HA::ZoneField qw(said told);

my $t = HA::Test->new;

# A page of an instance as the proxy would ask for it. Options: id => of the session cookie, route
# => in it; body => to POST; and those of HA::ZoneField::told, `data` in place of its state. The response.
sub ask($instance, $page, %opt)
{
    my $route = $opt{route} // $instance->route;
    my @cookie = $opt{id} ? (Cookie => "a=b; zsessionid=$opt{id}.$route; c") : ();
    $opt{state} = encode_json($opt{data}) if $opt{data};
    my %request = (headers => [@cookie, told(%opt)]);
    my $client = $instance->client(cookies => 0);
    return $client->get("/App/$page", %request) if !defined $opt{body};
    push @{$request{headers}}, 'Content-Type' => 'application/x-www-form-urlencoded';
    return $client->post("/App/$page", $opt{body}, %request);
}

# The id and the route that an answer gives the client a cookie for.
sub issued($response)
{
    my ($cookie) = $response->headers('Set-Cookie');
    return ($cookie // '') =~ /^zsessionid=([\w-]{32})\.(\w+); Path=\/(?:App)?; HttpOnly; SameSite=Lax$/;
}

# A new session with these items: its id.
sub new_cart($instance, @items)
{
    my ($id) = issued(ask($instance, 'cart?' . join '&', map {"add=$_"} @items));
    return $id // die "no cookie\n";
}

# What an answer says of a state: "put 2: pear,fig", or the bare word.
sub told_cart($response)
{
    my $said = said($response);
    return $said->{word} if !defined $said->{state};
    return "$said->{word} $said->{ver}: " . join ',', @{decode_json($said->{state})->{cart} // []};
}

sub text($response)
{
    return $response->body =~ s/\n\z//r;
}

sub begins_and_changes($here)
{
    my $look = ask($here, 'cart');
    is(text($look) . said($look)->{word}, 'hostA cart=', 'who only looks gets no session');
    is($look->header('Set-Cookie'), undef, 'nor a cookie');
    my $new = ask($here, 'cart?add=pear');
    my ($id, $route) = issued($new);
    is($route, 'hostA', 'who changes something gets a cookie');
    my $said = said($new);
    is_deeply([@$said{qw(word id ttl parts)}], ['put', $id, 1800, 1], 'and is put');
    is_deeply(decode_json($said->{state}), {cart => ['pear']}, 'with the state as JSON');
    my $more = ask($here, 'cart', id => $id, fence => 1, body => 'add=fig');
    is(told_cart($more), 'put 2: pear,fig', 'each change raises the version');
    is_deeply([issued($more)], [$id, 'hostA'], 'and sets the cookie again');
    like($more->header('Set-Cookie'), qr{; Path=/App;}, 'for the path of the application');
    my $again = ask($here, 'cart', id => $id, fence => 1);
    is(text($again) . said($again)->{word}, 'hostA cart=pear,fig', 'a look changes nothing');
    is($again->header('Set-Cookie'), undef, 'and sets none');
    is(text(ask($here, '', id => $id)), 'hostA visits=1', 'a counter');
    return;
}

sub goes_on_elsewhere($here, $there)
{
    my $id = new_cart($here, 'pear');
    my $state = said(ask($here, 'cart?add=fig', id => $id, fence => 1))->{state};
    my %given = (id => $id, word => 'restore', from => 'hostA');
    my $moved = ask($there, 'cart?add=nut', %given, route => 'hostA', fence => 2, ver => 2, state => $state);
    is(text($moved), 'hostB cart=pear,fig,nut', 'the second instance goes on');
    is(told_cart($moved), 'put 3: pear,fig,nut', 'with the next version');
    is_deeply([issued($moved)], [$id, 'hostB'], 'and has the cookie lead to it');

    my $stale = ask($here, 'cart?add=late', id => $id, fence => 2);
    is($stale->status . ' ' . said($stale)->{word}, '503 miss', 'a higher fence: the first one asks');
    %given = (%given, from => 'hostB', state => said($moved)->{state});
    is(told_cart(ask($here, 'cart?add=kiwi', %given, fence => 3, ver => 3)), 'put 4: pear,fig,nut,kiwi',
        'and goes on with what it is given');
    delete $given{state};
    $given{data} = {cart => ['old']};
    for my $older ([3, 4], [3, 3], [2, 9]) {
        my ($fence, $ver) = @$older;
        is(text(ask($here, 'cart', %given, fence => $fence, ver => $ver)), 'hostA cart=pear,fig,nut,kiwi',
            "epoch $fence, version $ver is not newer");
    }
    is(text(ask($here, 'cart', %given, fence => 3, ver => 5)), 'hostA cart=old', 'a higher version is');
    is(text(ask($here, 'cart', %given, fence => 4, ver => 1, data => {cart => ['b']})), 'hostA cart=b',
        'a higher epoch is');
    is(said(ask($here, 'cart', id => $id, fence => 4))->{word}, '', 'it has it under that epoch');
    my $data = {cart => ['somebody\'s']};
    ask($here, 'cart', fence => 9, word => 'restore', ver => 9, data => $data);
    is(text(ask($here, 'cart')), 'hostA cart=', 'a state without a cookie is for nobody');
    my $rubbish = ask($here, 'cart', %given, fence => 5, ver => 9, data => ['no', 'object']);
    is(text($rubbish), 'hostA cart=', 'a state of something else is none');
    return;
}

sub asks_after_a_restart($here)
{
    my $id = new_cart($here, 'pear');
    $here->restart;
    my $client = $here->client;
    $client->set_cookie(zsessionid => "$id.hostA");
    my $post = $client->format_request(POST => '/App/cart', headers => [told(fence => 1)], body => 'add=pear');
    $client->send(substr $post, 0, -4);
    is($client->read_raw(timeout => 0.2), '', 'the body of a POST is read');
    $client->send(substr $post, -4);
    is(said($client->read_response)->{word}, 'miss', 'and it is not served');
    for my $page ('', qw(cart login logout)) {
        my $miss = ask($here, $page, id => $id, fence => 1);
        is($miss->status . ' ' . said($miss)->{word}, '503 miss', "/$page asks for the state");
        is($miss->header('Set-Cookie'), undef, 'and does nothing else');
    }
    is(text(ask($here, 'cart', id => $id)), 'hostA cart=', 'without a fence: nobody knows of it');
    for my $word (qw(none error)) {
        is(text(ask($here, 'cart', id => $id, word => $word)), 'hostA cart=', "$word: there is nothing");
        my $new = ask($here, 'cart?add=fig', id => $id, word => $word);
        is(told_cart($new), 'put 1: fig', 'another session begins');
        isnt((issued($new))[0], $id, 'under an id that no client can have made up');
    }
    my $id2 = new_cart($here, 'own');
    is(told_cart(ask($here, 'cart?add=x', id => $id2, fence => 1, word => 'error')), 'put 2: own,x',
        'what there is goes on');
    is(text(ask($here, 'cart', id => $id2, fence => 2, word => 'none')), 'hostA cart=', 'but what is stale does not');
    is(said(ask($here, 'cart?add=x', id => 'a b'))->{word}, 'put', 'what is no id is no session');
    return;
}

sub forgets($here)
{
    my $id = new_cart($here, 'pear');
    my $gone = ask($here, 'cart', id => $id, word => 'gone');
    is(text($gone) . said($gone)->{word}, 'hostA cart=', 'gone: nothing is left');
    is(said(ask($here, 'cart', id => $id, fence => 1))->{word}, 'miss', 'nor remembered');
    $id = new_cart($here, 'pear');
    my $logout = ask($here, 'logout', id => $id, fence => 1);
    is_deeply(said($logout), {word => 'del', id => $id}, 'logout: it has ended');
    like($logout->header('Set-Cookie'), qr/^zsessionid=; Path=\/App;.* Max-Age=0$/, 'the cookie is taken back');
    is(said(ask($here, 'cart', id => $id, fence => 1))->{word}, 'miss', 'it is forgotten');
    my $nobody = ask($here, 'logout');
    is($nobody->status . said($nobody)->{word}, '200', 'without a session there is nothing to end');
    return;
}

# Who has the old id, and a request under way, does not learn the new one with its answer.
sub comes_from_before_a_login($here)
{
    my $id = new_cart($here, 'pear');
    my $client = $here->client;
    $client->set_cookie(zsessionid => "$id.hostA");
    my $form = 'application/x-www-form-urlencoded';
    my $post = $client->format_request(
        POST => '/App/cart', headers => [told(fence => 1), 'Content-Type' => $form], body => 'add=fig',
    );
    $client->send(substr $post, 0, -3);
    is($client->read_raw(timeout => 0.2), '', 'a request is under way');
    my ($new) = issued(ask($here, 'login', id => $id, fence => 1));
    $client->send(substr $post, -3);
    my $answer = $client->read_response;
    is(join(" ", @{said($answer)}{qw(word id)}), "put $new", 'and changes the session while somebody logs in');
    is($answer->header('Set-Cookie'), undef, 'without learning its id');
    return;
}

sub gets_a_new_id($here)
{
    my $id = new_cart($here, 'pear');
    my %given = (id => $id, fence => 4, word => 'restore', ver => 7, data => {cart => ['pear']});
    my $login = ask($here, 'login?user=ann', %given);
    my ($new) = issued($login);
    my $said = said($login);
    isnt($new, $id, 'login: a new id');
    is("@$said{qw(word id new ver)}", "rekey $id $new 8", 'with the state');
    is_deeply(decode_json($said->{state}), {cart => ['pear'], user => 'ann'}, 'which has changed');
    is(said(ask($here, 'cart', id => $id, fence => 4))->{word}, 'miss', 'the old id is nobody\'s');
    is(told_cart(ask($here, 'cart?add=fig', id => $new, fence => 1)), 'put 9: pear,fig', 'the new one goes on');
    is(said(ask($here, 'cart', id => $new, fence => 2))->{word}, 'miss', 'in a record\'s first epoch');
    is(said(ask($here, 'login'))->{word}, 'put', 'without a session: a new one');
    comes_from_before_a_login($here);
    return;
}

sub counts_parallel_changes($here)
{
    my $id = new_cart($here, 'first');
    my @clients = map {$here->client(cookies => 0)} 1 .. 20;
    my @cookie = (headers => {Cookie => "zsessionid=$id.hostA"});
    $_->connect for @clients;
    $clients[$_]->send($clients[$_]->format_request(GET => "/cart?add=i$_", @cookie)) for 0 .. 19;
    my @said = sort {$a->{ver} <=> $b->{ver}} map {said($_->read_response)} @clients;
    is(join(' ', map {$_->{ver}} @said), join(' ', 2 .. 21), 'each has a version of its own');
    my @items = sort @{decode_json($said[-1]{state})->{cart}};
    is("@items", join(' ', sort 'first', map {"i$_"} 0 .. 19), 'the highest has all changes');
    return;
}

sub carries_large_states($here, $there)
{
    my $body = join '&', map {"add=item$_"} 1 .. 1980;
    my $large = ask($here, 'cart', body => $body);
    my ($id) = issued($large);
    my $said = said($large);
    cmp_ok(length $said->{state}, '>', 20_000, 'a state that is nearly as large as may be');
    is($said->{parts}, 4, 'in four parts');
    my %given = (id => $id, fence => 2, word => 'restore', ver => 1, state => $said->{state});
    is(length text(ask($there, 'cart', %given)), length(text($large)), 'the other instance reads it');
    my $beyond = ask($here, 'cart', id => $id, fence => 1, body => $body);
    is($beyond->status . said($beyond)->{word}, '200', 'one that is too large is served, not sent');
    my $login = ask($here, 'login', id => $id, fence => 1);
    my ($new) = issued($login);
    is_deeply(said($login), {word => 'rekey', id => $id, new => $new}, 'but a login ends the old id all the same');
    $t->wait_for(sub { $here->log->text =~ /a session of \d+ bytes is too large for its zone/ });
    pass('and that is said');
    return;
}

sub lives_on($language)
{
    my $short = $t->example($language, 'hostS', ttl => 4);
    my $id = new_cart($short, 'pear');
    my $touch = $t->wait_for(
        sub {
            my $said = said(ask($short, 'cart', id => $id));
            return $said->{word} && $said;
        }
    );
    is_deeply($touch, {word => 'touch', id => $id, ttl => 4}, 'said with a look, when part of its time has passed');
    return;
}

# --- answers of other shapes: t/examples ---

# The pages of a session that an answer's state has.
sub pages($response)
{
    return join ',', @{decode_json(said($response)->{state} // '{}')->{pages} // []};
}

sub other_shapes_everywhere($odd, $empty)
{
    my $first = ask($odd, $empty);
    my ($id) = issued($first);
    is($first->status . ' ' . pages($first), "204 $empty", 'without a body');
    my $late = ask($odd, 'late', id => $id);
    is($late->body . ' ' . pages($late), "first, second $empty,late,before the first byte", 'in pieces');
    my $failed = ask($odd, 'fail', id => $id);
    unlike($failed->status, qr/^2/, 'an answer that fails');
    is(pages(ask($odd, 'look', id => $id)), "$empty,late,before the first byte,fail",
        'leaves its change to the next one');
    is(said(ask($odd, 'look', id => $id))->{word}, '', 'and no more');
    return $id;
}

sub other_shapes_of_python($odd)
{
    my $id = other_shapes_everywhere($odd, 'empty');
    my $written = ask($odd, 'write', id => $id);
    is($written->body, 'written, then returned', 'by write()');
    like(pages($written), qr/,write$/, 'with the state');
    my $changed = ask($odd, 'changed-mind', id => $id);
    is($changed->status . ' ' . $changed->body, '500 sorry', 'another head in place of the first');
    like(pages($changed), qr/,changed-mind$/, 'with the state');
    unlike($odd->log->text, qr/AssertionError/, 'the validator has nothing against it');
    return;
}

sub other_shapes_of_node($odd)
{
    my $id = other_shapes_everywhere($odd, 'empty');
    my $late = ask($odd, 'late');
    is(scalar(my @both = $late->headers('Set-Cookie')), 2, 'beside a cookie of its own');
    for my $shape (qw(list object)) {
        my $r = ask($odd, $shape);
        my @cookies = map {s/[=;].*//r} $r->headers('Set-Cookie');
        is("@cookies " . $r->header('X-Other'), 'a b zsessionid c', "a head given as $shape");
    }
    return;
}

my %other_shapes = (
    python => [\&other_shapes_of_python, 't/examples/odd.py'],
    node => [\&other_shapes_of_node, 't/examples/odd.js'],
);

for my $language (HA::Example::languages()) {
    subtest "examples/$language" => sub {
        my $runs = HA::Example::runs($language);
        plan(skip_all => "$runs is not here") if !HA::Example::is_here($language);
        my ($here, $there) = map {$t->example($language, $_)} qw(hostA hostB);
        subtest 'a session begins and changes' => sub { begins_and_changes($here) };
        subtest 'it goes on on another instance' => sub { goes_on_elsewhere($here, $there) };
        subtest 'a restarted instance asks for it' => sub { asks_after_a_restart($here) };
        subtest 'one that has ended is forgotten' => sub { forgets($here) };
        subtest 'a login gives it a new id' => sub { gets_a_new_id($here) };
        subtest 'parallel requests lose nothing' => sub { counts_parallel_changes($here) };
        subtest 'large states' => sub { carries_large_states($here, $there) };
        subtest 'one that is only looked at lives on' => sub { lives_on($language) };
        subtest 'answers of other shapes' => sub {
            my ($run, $program) = @{$other_shapes{$language}};
            $program = HA::Test::top_srcdir() . "/$program";
            $run->($t->example($language, 'odd', program => $program));
        };
        $_->kill for $here, $there;
    };
}

subtest 'doc/zones.md shows what the example has' => sub {
    my ($page, $example) = map {HA::Log->new(HA::Test::top_srcdir() . "/$_")->text}
        qw(doc/zones.md examples/python/ha_sessions.py);
    my @blocks = $page =~ /^```python\n(.*?)^```$/msg;
    is(scalar @blocks, 2, 'both of its halves');
    ok(index($example, $_) >= 0, 'as it is') for @blocks;
};

# Where a distribution has the interface of servlets; SERVLET_API names another jar.
sub servlet_api
{
    my @found = grep {defined && -e} $ENV{SERVLET_API}, map {"/usr/share/java/$_.jar"}
        qw(jakarta-servlet-api servlet-api);
    return $found[0];
}

subtest 'examples/java' => sub {
    plan(skip_all => 'javac is not here') if !grep {-x "$_/javac"} split /:/, $ENV{PATH};
    my $jar = servlet_api() // plan(skip_all => 'there is no jar of the servlet API');
    my $dir = $t->dir('java');
    mkdir $dir or die "$dir: $!\n";
    my $older = `jar tf '$jar'` =~ m{^javax/servlet/Filter\.class$}m;
    for my $path (glob HA::Test::top_srcdir() . '/examples/java/*.java') {
        my $text = HA::Log->new($path)->text;
        $text =~ s/\bjakarta\.servlet\b/javax.servlet/g if $older;
        $t->write_file($path =~ s{.*/}{$dir/}r, $text);
    }
    my $pid = $t->spawn('javac', cmd => ['javac', '-Xlint:all', '-Werror', '-d', "$dir/classes", '-cp', $jar,
        glob "$dir/*.java"]);
    $t->may_fail($pid);
    is($t->wait_end($pid, 120), 0, "compiles with $jar") or diag(HA::Log->new($t->dir('javac.out'))->text);
};

$t->done;
