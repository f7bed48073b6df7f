%% What on_erlang.py asks of a VM: one line in, one line out. Times that are measured here are in ns.
%% spawn/told/replaced/calls/casts/hold: inside this VM. vm_*: each actor in a VM of its own, by OTP's peer module.
-module(echo_vm).
-behaviour(gen_server).
-export([main/0, start_link/1, start/0, os_pid/0, init/1, handle_call/3, handle_cast/2]).

-define(BODY, <<0:512>>).
-define(NAME, victim).

%% ---- the actor

start() -> gen_server:start(?MODULE, none, []).
start_link(Name) -> gen_server:start_link({local, Name}, ?MODULE, none, []).
os_pid() -> list_to_integer(os:getpid()).

init({supervisor, Names}) ->
    Children = [#{id => Name, start => {?MODULE, start_link, [Name]}} || Name <- Names],
    {ok, {#{intensity => 1000000, period => 1}, Children}};
init(none) -> {ok, none}.

handle_call(Body, _From, State) -> {reply, Body, State}.
handle_cast(_Body, State) -> {noreply, State}.

%% ---- the conversation

main() -> loop(#{}).

loop(Vms) ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            [Verb | Words] = string:lexemes(Line, " \n"),
            {Answer, Next} = do(Verb, [list_to_integer(Word) || Word <- Words], Vms),
            io:format("~w~n", [Answer]),
            loop(Next)
    end.

do("spawn", [Count], Vms) ->
    {timed(fun() -> [spawn_one() || _ <- lists:seq(1, Count)] end) div Count, Vms};
do("told", [Count], Vms) -> {lists:sum([told() || _ <- lists:seq(1, Count)]) div Count, Vms};
do("replaced", [Actors, Count], Vms) ->
    Names = [list_to_atom("victim" ++ integer_to_list(Number)) || Number <- lists:seq(1, Actors)],
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, Names}),
    Spent = lists:sum([replaced(Names) || _ <- lists:seq(1, Count)]) div Count,
    true = unlink(Supervisor),
    gen_server:stop(Supervisor),
    {Spent, Vms};
do("hold", [Count], Vms) ->
    put(held, [element(2, start()) || _ <- lists:seq(1, Count)]),
    {Count, Vms};
do("release", [], Vms) -> {length([exit(Pid, kill) || Pid <- erase(held)]), Vms};
do("calls", [Id, Count], Vms) ->
    {Pid, _} = actor(Id, Vms),
    {timed(fun() -> calls(Pid, Count) end) div Count, Vms};
do("casts", [Id, Count], Vms) ->
    {Pid, _} = actor(Id, Vms),
    {timed(fun() -> casts(Pid, Count), calls(Pid, 1) end) div Count, Vms};
do("vm_spawn", [Id], Vms) ->
    {OsPid, Pid, Node} = vm(),
    erlang:monitor(process, Pid),
    {OsPid, Vms#{Id => {Pid, Node}}};
do("vm_told", [Id], Vms) ->
    {Pid, _} = maps:get(Id, Vms),
    {await_down(Pid), Vms};
do("vm_replaced", Ids, Vms) ->  % all at once, each by a process; an answer for each
    Asker = self(),
    [begin
        {Pid, _} = maps:get(Id, Vms),
        await_down(Pid),
        spawn_link(fun() -> Asker ! {Id, vm()} end)
     end || Id <- Ids],
    await_vms(Ids, Vms);
do("vm_end", [Id], Vms) ->
    {{Pid, Node}, Left} = maps:take(Id, Vms),
    erpc:cast(Node, erlang, halt, [0]),
    {await_down(Pid), Left}.

await_vms([Id | Ids], Vms) ->
    {OsPid, Pid, Node} = receive {Id, Vm} -> Vm end,
    erlang:monitor(process, Pid),
    Next = Vms#{Id => {Pid, Node}},
    case Ids of
        [] -> {OsPid, Next};
        _ -> io:format("~w~n", [OsPid]), await_vms(Ids, Next)
    end.

actor(0, _) ->
    case whereis(?NAME) of
        undefined -> {ok, Pid} = start_link(?NAME), {Pid, node()};
        Pid -> {Pid, node()}
    end;
actor(Id, Vms) -> maps:get(Id, Vms).

%% ---- the work

timed(Work) ->
    Started = erlang:monotonic_time(nanosecond),
    Work(),
    erlang:monotonic_time(nanosecond) - Started.

spawn_one() ->
    {ok, Pid} = start(),
    calls(Pid, 1),
    exit(Pid, kill).

told() ->
    {ok, Pid} = start(),
    erlang:monitor(process, Pid),
    timed(fun() -> exit(Pid, kill), await_down(Pid) end).

replaced(Names) ->
    Olds = [{Name, whereis(Name)} || Name <- Names],
    timed(fun() ->
        [exit(Old, kill) || {_, Old} <- Olds],
        [await_other(Name, Old) || {Name, Old} <- Olds]
    end).

await_other(Name, Old) ->
    case whereis(Name) of
        New when New =/= Old, New =/= undefined -> calls(New, 1);
        _ -> erlang:yield(), await_other(Name, Old)
    end.

await_down(Pid) -> receive {'DOWN', _, process, Pid, _} -> 0 end.

calls(_, 0) -> ok;
calls(Pid, Count) -> ?BODY = gen_server:call(Pid, ?BODY, infinity), calls(Pid, Count - 1).

casts(_, 0) -> ok;
casts(Pid, Count) -> gen_server:cast(Pid, ?BODY), casts(Pid, Count - 1).

vm() ->
    {ok, _, Node} = peer:start(#{name => peer:random_name(), host => "127.0.0.1", longnames => true,
                                 args => ["-pa", filename:dirname(code:which(?MODULE)),
                                          "-kernel", "logger_level", "none", "-connect_all", "false"]}),
    {ok, Pid} = erpc:call(Node, ?MODULE, start, []),
    calls(Pid, 1),
    {erpc:call(Node, ?MODULE, os_pid, []), Pid, Node}.
