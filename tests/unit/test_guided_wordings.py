"""Wordings written by others than the rules: situation | utterance | tool | arguments.

Each row was written before it was seen what the brain makes of it.
"""

# ruff: noqa: E501
from __future__ import annotations

import json

import pytest

from assistant.brains.guided.replies import markdown
from tests.unit.test_guided_understanding import stage

ACTS = {
    "start_training",
    "forget",
    "cancel_job",
    "export_model",
    "prepare_dataset",
    "resume_job",
}
TABLE = r"""fresh|So our shop gets loads of comments every week and my intern copied them into reviews.csv. Could you get a model to sort them by mood? LoRA would be fine.|start_training|{"path":"reviews.csv","method":"lora"}
fresh|reviews.csv. lora. r=4. two epochs. ta|start_training|{"rank":4,"epochs":2}
fresh|I'd be ever so grateful if you could fine-tune the starter on reviews.csv, rank sixteen and alpha thirty two|start_training|{"rank":16,"alpha":32}
fresh|plz finetuning with reviews.csv, i want learning rate 1e-4 and one half of an hour maximum|start_training|{"learning_rate":0.0001,"minutes":30}
fresh|train reviews.csv, no more than three quarters of an hour|start_training|{"minutes":45}
fresh|Train on reviews.csv for a quarter of an hour tops|start_training|{"minutes":15}
fresh|give reviews.csv a go with dora, a couple of epochs|start_training|{"method":"dora","epochs":2}
fresh|let it train over reviews.csv, hold back twenty percent, drop out of point one|start_training|{"eval_fraction":0.2,"dropout":0.1}
fresh|please to start learning of model with file tickets.jsonl, step maximum two hundred|start_training|{"path":"tickets.jsonl","max_steps":200}
fresh|My manager wants to see something by this afternoon. Take tickets.jsonl, QLoRA, rank 8, batch of four, and start the training.|start_training|{"path":"tickets.jsonl","method":"qlora","rank":8,"batch_size":4}
fresh|fine-tune on reviews.csv with weight decay of 0.01 and sequences cut at 128 tokens|start_training|{"weight_decay":0.01,"max_length":128}
fresh|reviews.csv - train, gradient accumulation four, batch size two|start_training|{"gradient_accumulation":4,"batch_size":2}
fresh|Could you have a model learn to predict mood given text, from reviews.csv?|start_training|{"path":"reviews.csv"}
fresh|tune a model on reviews.csv; the input column is text and the label column is mood|start_training|{"input_column":"text","output_column":"mood"}
fresh|train on reviews.csv with dropout point zero five|start_training|{"dropout":0.05}
fresh|run a training on reviews.csv with a learning rate of two e minus four|start_training|{"learning_rate":0.0002}
fresh|use all the weights, not just adapters: train reviews.csv|start_training|{"method":"full"}
fresh|Right, I've had enough of reading docs. Just train a LoRA on tickets.jsonl with five epochs.|start_training|{"epochs":5,"path":"tickets.jsonl"}
fresh|Train on reviews.csv, but leave the duplicates in|start_training|{"dedupe":false}
fresh|train reviews.csv for an hour and a half max|start_training|{"minutes":90}
fresh|i wud like 2 trian a modle on reviews.csv w/ rank 32|start_training|{"rank":32}
fresh|Fine tune with Qwen/Qwen2.5-0.5B-Instruct as base and reviews.csv as data|start_training|{"model":"Qwen/Qwen2.5-0.5B-Instruct"}
fresh|Get cracking on reviews.csv: DoRA, rank 8, half a dozen epochs|start_training|{"method":"dora","epochs":6}
fresh|I think reviews.csv is finally complete. Time to train! two passes please|start_training|{"epochs":2}
fresh|train on reviews.csv w/ 85/15 split|start_training|{"eval_fraction":0.15}
fresh|Make yourself useful and train on reviews.csv with lora|start_training|{}
fresh|stick with lora, rank 8, data reviews.csv, let's train|start_training|{"rank":8}
fresh|train with reviews.csv, stop after a hundred steps|start_training|{"max_steps":100}
fresh|train the thing on reviews.csv in 20 minutes or less|start_training|{"minutes":20}
fresh|Would you kindly set a fine-tune going on reviews.csv?|start_training|{}
fresh|Using reviews.csv, I'd like a LoRA adapter trained with r 16|start_training|{"rank":16}
fresh|reviews.csv: fine-tuning bitte, 3 epochs|start_training|{"epochs":3}
fresh|train on old data.csv with a batch size of sixteen|start_training|{"path":"old data.csv","batch_size":16}
fresh|template "Comment: {text} Mood: {mood}" - train on reviews.csv|start_training|{}
fresh|I'm torn between lora and dora for reviews.csv|recommend_method|{"path":"reviews.csv"}
fresh|we cannot decide between full tuning and qlora for tickets.jsonl|recommend_method|{"path":"tickets.jsonl"}
fresh|a rundown of everything we tried, please|list_jobs|{}
empty|train on the support tickets you ship, rank 8|start_training|{"path":"data/samples/support_tickets.csv","rank":8}
looked|ok that looks decent. train it, lora, rank eight|start_training|{"rank":8,"path":"reviews.csv"}
looked|Great, now go ahead and train on that with a tenth held out|start_training|{"eval_fraction":0.1}
looked|cool cool. lets tune|start_training|{}
looked|nice one. now get on with the training, 3 epochs|start_training|{"epochs":3}
looked|so please train the model now with this file|start_training|{"path":"reviews.csv"}
looked|fine. start a qlora on it|start_training|{"method":"qlora"}
advised|take the second option|start_training|{"path":"reviews.csv","method":"dora"}
advised|ok, number two please, train it|start_training|{"method":"dora"}
advised|go with your top pick|start_training|{}
advised|that sounds sensible, do it like that|start_training|{}
advised|ok then train exactly like this|start_training|{}
advised|thanks. train it like you said but 2 epochs|start_training|{"epochs":2}
planned|hmm rank eight instead|start_training|{"rank":8}
planned|wait - could you drop the learning rate to one e minus four?|start_training|{"learning_rate":0.0001}
planned|sorry, I got that wrong, four epochs is too many, make it 2|start_training|{"epochs":2}
planned|same but with 8 epochs|start_training|{"epochs":8,"rank":16}
planned|same but with alpha 64|start_training|{"alpha":64}
planned|scratch that, use dora|start_training|{"method":"dora"}
planned|let's cap it at a quarter of an hour|start_training|{"minutes":15}
planned|one half of an hour is all I have|start_training|{"minutes":30}
planned|hold out twenty percent instead|start_training|{"eval_fraction":0.2}
planned|put the dropout at point one|start_training|{"dropout":0.1}
planned|can we go with a batch of four|start_training|{"batch_size":4}
planned|I'd rather have it on tickets.jsonl|start_training|{"path":"tickets.jsonl","rank":16}
planned|oops, i meant the other file, tickets.jsonl|start_training|{"path":"tickets.jsonl"}
planned|only a couple of epochs|start_training|{"epochs":2}
planned|not 4 epochs but six|start_training|{"epochs":6}
planned|rank down to 4, lr up to 5e-4|start_training|{"rank":4,"learning_rate":0.0005}
planned|please the batch size to be 2|start_training|{"batch_size":2}
planned|twice the epochs|start_training|{"epochs":8}
planned|Looks nearly right, but the rank ought to be 32|start_training|{"rank":32}
planned|all good except the epochs, I want 10|start_training|{"epochs":10}
planned|ditch lora, full fine-tuning please|start_training|{"method":"full"}
planned|set rank=64 and epochs=1|start_training|{"rank":64,"epochs":1}
planned|would you make that an 80/20 split?|start_training|{"eval_fraction":0.2}
planned|limit it to 100 steps|start_training|{"max_steps":100}
planned|bring the batch size down to one|start_training|{"batch_size":1}
planned|go easy on the rank, 4 will do|start_training|{"rank":4}
planned|run it on the cpu|start_training|{"device":"cpu"}
planned|gradient accumulation of 8 please, and batch 1|start_training|{"gradient_accumulation":8,"batch_size":1}
planned|rank||{}
planned|sounds good||{}
planned|looks good to me||{}
planned|great plan||{}
planned|lovely||{}
planned|that seems fine||{}
planned|hang on a sec||{}
planned|my cat just walked over the keyboard||{}
planned|I'll come back to this tomorrow||{}
planned|leave it for now||{}
planned|don't start yet||{}
planned|before I say yes, what does rank do?|explain|{}
planned|will that be done before lunch?|estimate_resources|{}
planned|and how much memory is that going to eat?|estimate_resources|{}
planned|what columns did the file have again?|inspect_dataset|{}
planned|what was alpha for, remind me?|explain|{}
fresh|what have we here in reviews.csv|inspect_dataset|{"path":"reviews.csv"}
fresh|I was given reviews.csv by a customer and have no clue what is inside. Could you take a look?|inspect_dataset|{}
fresh|plz check teh file reviews.csv for dupliactes|inspect_dataset|{}
fresh|peek into tickets.jsonl|inspect_dataset|{"path":"tickets.jsonl"}
fresh|Are there any empty rows or weird labels in reviews.csv?|inspect_dataset|{}
fresh|how does reviews.csv look, is it clean enough?|inspect_dataset|{}
fresh|tell me about reviews.csv|inspect_dataset|{}
fresh|before we do anything: what does reviews.csv hold?|inspect_dataset|{}
fresh|show the first 7 rows of reviews.csv|inspect_dataset|{"sample_rows":7}
fresh|I wish to see what is written in the file tickets.jsonl|inspect_dataset|{}
fresh|how many examples per class in reviews.csv?|inspect_dataset|{}
fresh|does tickets.jsonl make sense as training data?|inspect_dataset|{}
fresh|could you give reviews.csv the once-over?|inspect_dataset|{}
fresh|let's have a gander at reviews.csv|inspect_dataset|{}
looked|and the other one, tickets.jsonl?|inspect_dataset|{"path":"tickets.jsonl"}
looked|how about old data.csv?|inspect_dataset|{"path":"old data.csv"}
looked|is it balanced?|inspect_dataset|{}
fresh|Split reviews.csv eighty-five to fifteen|prepare_dataset|{"eval_fraction":0.15}
fresh|prepare reviews.csv with an 85/15 split please|prepare_dataset|{"eval_fraction":0.15}
fresh|get reviews.csv into shape, hold out 10%|prepare_dataset|{"eval_fraction":0.1}
fresh|prep reviews.csv, input is text, output is mood|prepare_dataset|{"input_column":"text","output_column":"mood"}
fresh|can you weed out the repeats in reviews.csv|prepare_dataset|{}
fresh|reviews.csv needs its duplicates kicked out, and reserve a fifth for evaluation|prepare_dataset|{"eval_fraction":0.2}
fresh|prepare reviews.csv with the template "{text} => {mood}"|prepare_dataset|{}
fresh|I want reviews.csv prepared but do not touch the duplicates|prepare_dataset|{"dedupe":false}
fresh|make the data from reviews.csv ready, a quarter for testing|prepare_dataset|{"eval_fraction":0.25}
fresh|reviews.csv prepare, 30 percent hold out|prepare_dataset|{"eval_fraction":0.3}
looked|good, clean it then|prepare_dataset|{}
looked|prepare it with 85 % for training and 15 % for testing|prepare_dataset|{"eval_fraction":0.15}
looked|now split that eighty twenty|prepare_dataset|{"eval_fraction":0.2}
fresh|qlora or dora for tickets.jsonl, what would you pick?|recommend_method|{"path":"tickets.jsonl"}
fresh|I've got an RTX 3060 with 12 gigs and want to use reviews.csv. What's the best way to go about it?|recommend_method|{"memory_gb":12,"path":"reviews.csv"}
fresh|which approach would you go for with reviews.csv if accuracy is all that matters?|recommend_method|{}
fresh|we are a small charity with one old laptop; how should we go about tuning on reviews.csv|recommend_method|{}
fresh|what do you advise for tickets.jsonl|recommend_method|{"path":"tickets.jsonl"}
fresh|I only have eight gigabytes of video memory. what method for reviews.csv|recommend_method|{"memory_gb":8}
fresh|Any suggestions on how to best tune with reviews.csv?|recommend_method|{}
fresh|what hyperparameters would be good for reviews.csv|recommend_method|{}
empty|I have half a million support chats, which method fits?|recommend_method|{}
empty|we've about two thousand labelled emails and a 16 GB card. what should we do?|recommend_method|{"memory_gb":16}
empty|recommend me something for a 4090|recommend_method|{}
looked|what would you do with it?|recommend_method|{"path":"reviews.csv"}
looked|so what's the best method here?|recommend_method|{}
advised|and if I had 24 GB?|recommend_method|{"memory_gb":24}
advised|and with only 4 gigs?|recommend_method|{"memory_gb":4}
fresh|will reviews.csv be done training within an hour?|estimate_resources|{}
fresh|roughly what time does a run on reviews.csv need|estimate_resources|{}
fresh|is that a coffee break or an overnight job, training on reviews.csv?|estimate_resources|{}
fresh|what would training on reviews.csv cost me in time|estimate_resources|{}
fresh|does a rank 64 lora on reviews.csv squeeze into six gigs?|estimate_resources|{"memory_gb":6,"rank":64}
fresh|estimated duration for reviews.csv, five epochs?|estimate_resources|{"epochs":5}
fresh|how much ram will a full fine-tune on reviews.csv take|estimate_resources|{"method":"full"}
fresh|would an RTX 4090 cope with full fine tuning on reviews.csv?|estimate_resources|{"method":"full"}
fresh|can I squeeze qlora on reviews.csv into 4 GB|estimate_resources|{"memory_gb":4}
fresh|give me an idea of the time and memory for reviews.csv with dora|estimate_resources|{"method":"dora"}
empty|would a 13b model fit on 24 gb with qlora|estimate_resources|{"memory_gb":24}
looked|will it be quick to train?|estimate_resources|{}
looked|how much time should I plan for it|estimate_resources|{}
looked|and would it fit in 8 gb?|estimate_resources|{"memory_gb":8}
empty|which base models do you have?|list_models|{}
empty|list base models that may be used commercially|list_models|{}
empty|are there any models bigger than the starter one?|list_models|{}
empty|show me models which fit in eight gb|list_models|{"memory_gb":8}
empty|what hardware am I on|describe_hardware|{}
empty|have I got a GPU in this thing?|describe_hardware|{}
empty|specs of this box pls|describe_hardware|{}
empty|how much ram do we have|describe_hardware|{}
empty|can you see a graphics card?|describe_hardware|{}
empty|A colleague told me about DoRA yesterday over lunch. What is that?|explain|{}
empty|everyone in my team keeps going on about LoRA, and I just nod. what is it actually?|explain|{}
empty|I read somewhere that quantization makes models dumb. is that true?|explain|{}
empty|hey, quick one: epochs - what are these?|explain|{}
empty|whats the diff between lora and qlora|explain|{}
empty|my professor mentioned gradient accumulation. I didn't get it.|explain|{}
empty|could you in simple words say what is overfitting|explain|{}
empty|eli5 learning rate|explain|{}
empty|why would anybody use a lower rank|explain|{}
empty|what's int4 good for|explain|{}
empty|What exactly does weight decay do to my model?|explain|{}
empty|is alpha twice the rank a rule or just a habit?|explain|{}
empty|I came across the term "catastrophic forgetting" in a blog post. Can you tell me more?|explain|{}
empty|ONNX, never heard of it. Meaning?|explain|{}
runs|which runs have I got|list_jobs|{}
runs|what did we train so far?|list_jobs|{}
runs|show me the failed ones|list_jobs|{"state":"failed"}
runs|list my last two runs|list_jobs|{"limit":2}
runs|overview of my trainings please|list_jobs|{}
runs|open up tickets-lora-7|show_job|{"job":"tickets-lora-7"}
runs|what happened with reviews-lora-5?|show_job|{"job":"reviews-lora-5"}
runs|what learning rate did tickets-lora-7 use|show_job|{"job":"tickets-lora-7"}
runs|details of the last run please|show_job|{}
runs|why did reviews-lora-5 break?|show_job|{"job":"reviews-lora-5"}
live|how's it getting on?|show_job|{"job":"tickets-lora-9"}
live|is it nearly there?|show_job|{"job":"tickets-lora-9"}
live|what's the loss at now|show_job|{}
live|any news from the training?|show_job|{}
live|how much longer?|show_job|{}
live|please kill it|cancel_job|{"job":"tickets-lora-9"}
live|I've changed my mind, abort the training|cancel_job|{}
live|stop tickets-lora-9 please, I need the machine for a meeting|cancel_job|{}
live|could you halt that run?|cancel_job|{}
live|pull the plug on it|cancel_job|{}
cut|my laptop went to sleep. pick the run up again please|resume_job|{"job":"tickets-lora-8"}
cut|resume where it left off|resume_job|{}
cut|can you carry on with tickets-lora-8?|resume_job|{"job":"tickets-lora-8"}
cut|finish the one that was interrupted|resume_job|{}
cut|continue that training|resume_job|{}
runs|evaluate tickets-lora-7 on tickets.jsonl|evaluate_model|{"job":"tickets-lora-7","path":"tickets.jsonl"}
runs|see how tickets-lora-7 does on reviews.csv|evaluate_model|{"path":"reviews.csv"}
runs|score tickets-dora-6 against the held-out rows|evaluate_model|{"job":"tickets-dora-6"}
runs|run an evaluation of the last model with the first 50 rows|evaluate_model|{"limit":50}
runs|put tickets-lora-7 to the test with reviews.csv|evaluate_model|{"path":"reviews.csv"}
runs|export tickets-lora-7 to onnx in int4 for cpu|export_model|{"format":"onnx","precision":"int4","device":"cpu"}
runs|I need the merged weights of tickets-lora-7|export_model|{"format":"merged"}
runs|give me just the adapter of tickets-dora-6|export_model|{"format":"adapter","job":"tickets-dora-6"}
runs|could you save tickets-lora-7 as GGUF so that I can load it in ollama?|export_model|{"format":"gguf"}
runs|onnx export please, half precision, for the gpu|export_model|{"format":"onnx","precision":"fp16","device":"cuda"}
runs|convert the last one into onnx fp32|export_model|{"precision":"fp32"}
runs|shrink tickets-lora-7 to four bits|export_model|{"precision":"int4"}
runs|how would tickets-lora-7 answer "I never got my parcel"?|try_model|{"prompt":"I never got my parcel","job":"tickets-lora-7"}
runs|throw this at the model: my invoice is wrong|try_model|{}
runs|feed it "the app keeps crashing"|try_model|{"prompt":"the app keeps crashing"}
runs|give tickets-dora-6 the prompt "cancel my subscription"|try_model|{"job":"tickets-dora-6"}
runs|try: where's my refund?|try_model|{}
runs|please delete tickets-dora-6, it was a mistake|forget|{"job":"tickets-dora-6"}
runs|bin reviews-lora-5|forget|{"job":"reviews-lora-5"}
runs|tickets-lora-7 can go, remove it from disk|forget|{"job":"tickets-lora-7"}
runs|chuck the failed run away|forget|{"job":"reviews-lora-5"}
runs|don't delete tickets-lora-7 whatever you do||{}
runs|why is tickets-lora-7 so poor?|show_job|{}
runs|write me a report on tickets-lora-7|show_job|{}
fresh|run 10 trials to find the best learning rate on reviews.csv|start_training|{}
fresh|use deepspeed zero 3 to train on reviews.csv|start_training|{}
fresh|who painted the mona lisa||{}
fresh|I'm bored||{}
fresh|if I trained on reviews.csv would my laptop melt?|estimate_resources|{}
fresh|is a quarter of an hour enough for reviews.csv?|estimate_resources|{}
fresh|I don't want to train anything today, just tell me what reviews.csv looks like|inspect_dataset|{}
fresh|is lora okay for reviews.csv?|recommend_method|{}
fresh|not training, only an estimate for reviews.csv please|estimate_resources|{}
fresh|Good afternoon! We're a bakery and have written down our customers' comments in reviews.csv. I would love a model that tells the happy from the angry ones, LoRA with rank 8.|start_training|{"rank":8,"method":"lora"}
fresh|tickets.jsonl lora rank sixteen one epoch batch eight|start_training|{"rank":16,"epochs":1,"batch_size":8}
fresh|pls do the training w/ reviews.csv for max 45 mins|start_training|{"minutes":45}
fresh|Train reviews.csv for half of an hour at the most|start_training|{"minutes":30}
fresh|could somebody please just train reviews.csv with dora and alpha thirty-two|start_training|{"method":"dora","alpha":32}
fresh|reviews.csv, qlora, learning rate three e minus four, dropout zero point one|start_training|{"learning_rate":0.0003,"dropout":0.1}
fresh|I am wanting to do fine tuning of the starter with the tickets.jsonl, 3 epoch, hold out 15 percent|start_training|{"epochs":3,"eval_fraction":0.15}
fresh|fine-tune on reviews.csv, max length five hundred and twelve|start_training|{"max_length":512}
fresh|train reviews.csv with weight decay point zero one|start_training|{"weight_decay":0.01}
fresh|let's get going: reviews.csv, full fine-tune, batch size four with accumulation of 4|start_training|{"method":"full","batch_size":4,"gradient_accumulation":4}
fresh|crack on and tune the model with tickets.jsonl|start_training|{"path":"tickets.jsonl"}
fresh|train on reviews.csv but stop after three hundred steps|start_training|{"max_steps":300}
fresh|I'd like you to take old data.csv, keep every duplicate, and train for two rounds|start_training|{"path":"old data.csv","dedupe":false,"epochs":2}
fresh|Use text as the input column and mood as the output column of reviews.csv and train|start_training|{"input_column":"text","output_column":"mood"}
fresh|go ahead and make a sentiment model out of reviews.csv|start_training|{}
looked|brilliant. Train away, rank 8|start_training|{"rank":8}
looked|happy with that, please tune the starter on it for two epochs|start_training|{"epochs":2}
looked|lora then, rank 4, go|start_training|{"rank":4}
looked|ok teach it|start_training|{}
advised|I'll have the second one please|start_training|{"method":"dora"}
advised|option 2|start_training|{"method":"dora"}
advised|let's go with the first plan|start_training|{"path":"reviews.csv"}
advised|fine by me, train as suggested|start_training|{}
planned|actually let's do eight epochs|start_training|{"epochs":8}
planned|hm, alpha should be thirty two|start_training|{"alpha":32}
planned|same again but rank 4|start_training|{"rank":4}
planned|hold back a quarter of the rows|start_training|{"eval_fraction":0.25}
planned|could we bump the rank to 32?|start_training|{"rank":32}
planned|three quarters of an hour max please|start_training|{"minutes":45}
planned|no no, tickets.jsonl of course|start_training|{"path":"tickets.jsonl"}
planned|I don't like lora, give me dora|start_training|{"method":"dora"}
planned|shorter please, just one epoch|start_training|{"epochs":1}
planned|learning rate two times ten to the minus five|start_training|{"learning_rate":0.00002}
planned|would prefer a batch size of 2|start_training|{"batch_size":2}
planned|everything as is but on the cpu|start_training|{"device":"cpu"}
planned|make that max 500 steps|start_training|{"max_steps":500}
planned|and dora rather than lora please|start_training|{"method":"dora"}
planned|lower the dropout to point zero five|start_training|{"dropout":0.05}
planned|fab||{}
planned|looks alright I suppose||{}
planned|nice, very clear||{}
planned|one sec, phone is ringing||{}
planned|what does alpha actually change?|explain|{}
planned|how long will this one run for?|estimate_resources|{}
planned|would that still work on 4 gigs?|estimate_resources|{"memory_gb":4}
planned|not now, maybe later||{}
planned|nah||{}
fresh|what do we have in tickets.jsonl|inspect_dataset|{"path":"tickets.jsonl"}
fresh|My colleague sent reviews.csv over. Mind having a look whether it is any good?|inspect_dataset|{}
fresh|is reviews.csv full of duplicates?|inspect_dataset|{}
fresh|could you tell me the columns of old data.csv|inspect_dataset|{"path":"old data.csv"}
fresh|run your eye over reviews.csv|inspect_dataset|{}
fresh|check whether reviews.csv is balanced|inspect_dataset|{}
fresh|print four rows of tickets.jsonl|inspect_dataset|{"sample_rows":4}
fresh|reviews.csv - thoughts?|inspect_dataset|{}
fresh|clean reviews.csv and put aside fifteen percent for testing|prepare_dataset|{"eval_fraction":0.15}
fresh|85/15 split of reviews.csv please|prepare_dataset|{"eval_fraction":0.15}
fresh|Please get the copies out of tickets.jsonl|prepare_dataset|{"path":"tickets.jsonl"}
fresh|prepare tickets.jsonl, input column question, output column answer|prepare_dataset|{"input_column":"question","output_column":"answer"}
fresh|divide reviews.csv into ninety percent train and ten percent test|prepare_dataset|{"eval_fraction":0.1}
looked|strip the duplicates and keep a fifth back|prepare_dataset|{"eval_fraction":0.2}
looked|make it ready but leave duplicates alone|prepare_dataset|{"dedupe":false}
fresh|What would be the most sensible way of tuning on tickets.jsonl with a 12 GB card?|recommend_method|{"memory_gb":12}
fresh|Got a GTX 1080 with 8 gb. Advice for reviews.csv?|recommend_method|{"memory_gb":8}
fresh|which settings would you choose for old data.csv|recommend_method|{"path":"old data.csv"}
empty|I've three thousand FAQs and want a bot for a phone. What technique do you propose?|recommend_method|{}
empty|which method for very little memory?|recommend_method|{}
looked|what do you reckon, which method?|recommend_method|{}
advised|what about with 48 GB?|recommend_method|{"memory_gb":48}
fresh|will it take ages to train on reviews.csv?|estimate_resources|{}
fresh|how soon would a training on tickets.jsonl be over|estimate_resources|{}
fresh|will I be able to train on reviews.csv before dinner?|estimate_resources|{}
fresh|does qlora on tickets.jsonl go into 6 GB?|estimate_resources|{"memory_gb":6}
fresh|what's the memory bill for full fine-tuning on reviews.csv|estimate_resources|{"method":"full"}
looked|how many minutes would ten epochs be?|estimate_resources|{"epochs":10}
looked|what are the memory needs?|estimate_resources|{}
empty|what models are on offer?|list_models|{}
empty|which model could I use commercially with 16 GB|list_models|{"memory_gb":16}
empty|got anything smaller than a 1B?|list_models|{}
empty|what's my gpu|describe_hardware|{}
empty|tell me what this computer has got inside|describe_hardware|{}
empty|which cpu do we run on|describe_hardware|{}
empty|My boss keeps saying we need QLoRA. What's that then?|explain|{}
empty|I stumbled upon "gradient checkpointing" and have no clue what it is|explain|{}
empty|so... perplexity. what does it tell me?|explain|{}
empty|is overfitting bad?|explain|{}
empty|whats better, high or low learning rate?|explain|{}
empty|why do people merge adapters|explain|{}
empty|in layman's terms: what is an epoch|explain|{}
runs|what runs do I have so far?|list_jobs|{}
runs|only the failed runs please|list_jobs|{"state":"failed"}
runs|the last three trainings|list_jobs|{"limit":3}
runs|give me everything about tickets-dora-6|show_job|{"job":"tickets-dora-6"}
runs|what went wrong in reviews-lora-5?|show_job|{"job":"reviews-lora-5"}
live|where's it at?|show_job|{"job":"tickets-lora-9"}
live|how many epochs are done?|show_job|{}
live|stop the run now please|cancel_job|{}
live|it's taking too long, cancel|cancel_job|{}
live|don't stop it, just tell me the progress|show_job|{}
cut|get tickets-lora-8 going again|resume_job|{"job":"tickets-lora-8"}
cut|please continue the interrupted one|resume_job|{}
runs|measure tickets-dora-6 on tickets.jsonl|evaluate_model|{"path":"tickets.jsonl"}
runs|evaluate the last run|evaluate_model|{}
runs|test tickets-lora-7 with the file reviews.csv, first 20 rows only|evaluate_model|{"path":"reviews.csv","limit":20}
runs|export the last run as onnx int4|export_model|{"precision":"int4"}
runs|I want tickets-lora-7 as one merged folder|export_model|{"format":"merged"}
runs|make an onnx out of tickets-dora-6 in sixteen bit for cuda|export_model|{"precision":"fp16","device":"cuda"}
runs|gguf of tickets-lora-7 pls|export_model|{"format":"gguf"}
runs|What does tickets-lora-7 reply to "my card was declined"?|try_model|{"prompt":"my card was declined"}
runs|say "hello there" to the tuned model|try_model|{"prompt":"hello there"}
runs|ask it: can I get a refund|try_model|{}
runs|remove tickets-lora-7, I don't need it any longer|forget|{"job":"tickets-lora-7"}
runs|could you delete the dora run|forget|{"job":"tickets-dora-6"}
runs|toss reviews-lora-5|forget|{"job":"reviews-lora-5"}
runs|is it safe to delete tickets-lora-7?||{}
fresh|book me a table for two||{}
fresh|no training today. what's in tickets.jsonl?|inspect_dataset|{}
fresh|We run a hotel. Guests leave remarks, which I keep in reviews.csv. Please train something that says whether they liked it, two epochs.|start_training|{"epochs":2}
fresh|old data.csv, dora r8 a16, lr 1e-4|start_training|{"path":"old data.csv","rank":8,"alpha":16,"learning_rate":0.0001}
fresh|could we do a short training on tickets.jsonl, fifty steps will do|start_training|{"max_steps":50}
fresh|train for three quarters of an hour on reviews.csv|start_training|{"minutes":45}
fresh|I'd like to fine-tune on tickets.jsonl with 30 percent kept for evaluation|start_training|{"eval_fraction":0.3}
fresh|do me a qlora on reviews.csv, batch of two, accumulate over eight|start_training|{"method":"qlora","batch_size":2,"gradient_accumulation":8}
fresh|Train reviews.csv; epochs: five; rank: four|start_training|{"epochs":5,"rank":4}
fresh|please let us train model on the data reviews.csv with technique lora|start_training|{"method":"lora"}
fresh|I'm ready. Start fine-tuning with reviews.csv.|start_training|{}
fresh|set the learning rate to 5e-4, the rank to 8 and train on reviews.csv|start_training|{"learning_rate":0.0005,"rank":8}
looked|yes the data is what I expected, go train|start_training|{}
looked|let's make a model from this with twenty percent held out|start_training|{"eval_fraction":0.2}
looked|OK do a LoRA run on it|start_training|{"method":"lora"}
advised|I like the second suggestion, use that|start_training|{"method":"dora"}
advised|the first, please|start_training|{}
planned|too many epochs, I'd say 2|start_training|{"epochs":2}
planned|could you use dora for that|start_training|{"method":"dora"}
planned|can you reduce the batch to 4|start_training|{"batch_size":4}
planned|wrong dataset, should be tickets.jsonl|start_training|{"path":"tickets.jsonl"}
planned|with rank thirty-two please|start_training|{"rank":32}
planned|hold out 15% rather|start_training|{"eval_fraction":0.15}
planned|one more thing: weight decay 0.1|start_training|{"weight_decay":0.1}
planned|it may only take a quarter of an hour|start_training|{"minutes":15}
planned|seq length 256|start_training|{"max_length":256}
planned|let's not do lora, full instead|start_training|{"method":"full"}
planned|that's a good plan||{}
planned|hmm interesting||{}
planned|can you explain the rank to me first?|explain|{}
planned|how much vram does it need|estimate_resources|{}
planned|what does the data look like again|inspect_dataset|{}
fresh|I need to know what's inside tickets.jsonl before deciding|inspect_dataset|{}
fresh|any problems with reviews.csv?|inspect_dataset|{}
fresh|scan old data.csv for duplicates please|inspect_dataset|{"path":"old data.csv"}
fresh|how's the label balance in reviews.csv|inspect_dataset|{}
fresh|can you open tickets.jsonl and summarise it|inspect_dataset|{}
fresh|what fields does tickets.jsonl have|inspect_dataset|{}
fresh|prepare reviews.csv: no dedupe, 10 % held out|prepare_dataset|{"dedupe":false,"eval_fraction":0.1}
fresh|Please clean tickets.jsonl up and make an 85 15 split|prepare_dataset|{"eval_fraction":0.15}
fresh|remove duplicate entries from old data.csv|prepare_dataset|{"path":"old data.csv"}
looked|please split it, one fifth for testing|prepare_dataset|{"eval_fraction":0.2}
fresh|how should I tune on reviews.csv with 10 GB of VRAM?|recommend_method|{"memory_gb":10}
fresh|What do you suggest for reviews.csv?|recommend_method|{}
empty|I have a chat log with eight hundred lines and no GPU. What would you recommend?|recommend_method|{}
empty|which technique is right for a 6 GB laptop card|recommend_method|{"memory_gb":6}
looked|any advice?|recommend_method|{}
fresh|is 20 minutes enough to train reviews.csv?|estimate_resources|{}
fresh|reviews.csv with qlora: how much memory?|estimate_resources|{"method":"qlora"}
fresh|how expensive is a full fine tune on tickets.jsonl|estimate_resources|{"method":"full"}
looked|time needed for five epochs?|estimate_resources|{"epochs":5}
empty|show me the base models|list_models|{}
empty|is there a bigger model I could take?|list_models|{}
empty|which open models are small enough for 4 GB?|list_models|{"memory_gb":4}
empty|how many cores has this machine|describe_hardware|{}
empty|is there an nvidia card in here|describe_hardware|{}
empty|Someone at work said our model was overfitting. What does that mean?|explain|{}
empty|what's the point of weight decay|explain|{}
empty|I keep reading "QLoRA" everywhere, could you explain?|explain|{}
empty|difference between epochs and steps?|explain|{}
empty|tell me about onnx|explain|{}
runs|have I trained anything yet?|list_jobs|{}
runs|show my runs|list_jobs|{}
runs|were there any failures?|list_jobs|{}
runs|what's the status of tickets-lora-7|show_job|{}
runs|show me the settings of the dora run|show_job|{"job":"tickets-dora-6"}
live|how far along is it?|show_job|{}
live|is it still training|show_job|{}
live|cancel it please|cancel_job|{}
live|enough, end the training|cancel_job|{}
cut|resume tickets-lora-8|resume_job|{"job":"tickets-lora-8"}
cut|my pc crashed, could you go on with the run?|resume_job|{}
runs|evaluate tickets-lora-7 with reviews.csv|evaluate_model|{"path":"reviews.csv"}
runs|check tickets-lora-7 against tickets.jsonl|evaluate_model|{"path":"tickets.jsonl"}
runs|export tickets-lora-7|export_model|{"job":"tickets-lora-7"}
runs|I'd like the last model as int4 onnx for my cpu|export_model|{"precision":"int4","device":"cpu"}
runs|please merge tickets-dora-6 into its base|export_model|{"format":"merged"}
runs|can I have tickets-lora-7 in fp16?|export_model|{"precision":"fp16"}
runs|I want to run tickets-lora-7 in llama.cpp|export_model|{"format":"gguf"}
runs|ask tickets-dora-6 "where is my parcel"|try_model|{"job":"tickets-dora-6"}
runs|try the model with: I want my money back|try_model|{}
runs|what would it say to "the app is slow"?|try_model|{}
runs|delete run 6|forget|{"job":"tickets-dora-6"}
runs|I no longer need tickets-lora-7, please delete it|forget|{"job":"tickets-lora-7"}
runs|get rid of the failed run|forget|{"job":"reviews-lora-5"}
fresh|can you fly||{}
fresh|please don't train on reviews.csv, only prepare it|prepare_dataset|{}
fresh|Evening. The file reviews.csv holds what guests wrote and how they felt; kindly train a LoRA on it with one epoch.|start_training|{"method":"lora","epochs":1}
fresh|reviews.csv plus dora plus rank 16 equals my model, please build it|start_training|{"method":"dora","rank":16}
fresh|train tickets.jsonl, at most a hundred and fifty steps|start_training|{"max_steps":150}
fresh|can you tune on tickets.jsonl with lr two e minus five and batch size 1?|start_training|{"learning_rate":0.00002,"batch_size":1}
fresh|train on reviews.csv, dropout five percent, hold out ten percent|start_training|{"dropout":0.05,"eval_fraction":0.1}
fresh|i want that the model learns the reviews.csv, 2 epoch, thanks|start_training|{"epochs":2}
fresh|please train (reviews.csv, QLoRA, alpha 16)|start_training|{"method":"qlora","alpha":16}
fresh|Finetune. reviews.csv. Two hours max.|start_training|{"minutes":120}
looked|good enough for me, start a fine-tune|start_training|{}
looked|alright then train with rank four and half an hour limit|start_training|{"rank":4,"minutes":30}
advised|your second proposal please|start_training|{"method":"dora"}
advised|perfect, take number one|start_training|{}
planned|eight epochs would be better|start_training|{"epochs":8}
planned|please change method to qlora|start_training|{"method":"qlora"}
planned|increase rank to thirty two and lower the lr to 1e-4|start_training|{"rank":32,"learning_rate":0.0001}
planned|I forgot to say: keep duplicates|start_training|{"dedupe":false}
planned|no dropout please, set it to 0.0|start_training|{"dropout":0}
planned|same plan, other data: tickets.jsonl|start_training|{"path":"tickets.jsonl"}
planned|not more than ten minutes|start_training|{"minutes":10}
planned|test share 0.3|start_training|{"eval_fraction":0.3}
planned|seems reasonable||{}
planned|okay I see||{}
planned|what is this learning rate thing?|explain|{}
planned|does it fit into 6 GB?|estimate_resources|{"memory_gb":6}
planned|will it be finished by six?|estimate_resources|{}
fresh|what's up with reviews.csv|inspect_dataset|{}
fresh|i just got tickets.jsonl from sales, can you see if it's usable|inspect_dataset|{}
fresh|give me a feel for what's in reviews.csv|inspect_dataset|{}
fresh|is there junk in old data.csv?|inspect_dataset|{}
fresh|number of rows in tickets.jsonl?|inspect_dataset|{}
looked|which labels does it have?|inspect_dataset|{}
fresh|make an 85/15 split of tickets.jsonl and drop duplicates|prepare_dataset|{"eval_fraction":0.15,"dedupe":true}
fresh|I'd like reviews.csv cleaned, with a third held back|prepare_dataset|{"eval_fraction":0.33}
looked|tidy it up please|prepare_dataset|{}
fresh|we have eleven gigs on a 2080 ti, how would you tune on reviews.csv?|recommend_method|{"memory_gb":11}
empty|I'd like your opinion: which method for short customer mails?|recommend_method|{}
looked|suggest something|recommend_method|{}
looked|how would you go about it|recommend_method|{}
fresh|how many minutes for tickets.jsonl with lora?|estimate_resources|{}
fresh|do I have enough memory for reviews.csv with full fine-tuning|estimate_resources|{"method":"full"}
fresh|would it take all night to train tickets.jsonl?|estimate_resources|{}
empty|memory for qlora on a 3B model?|estimate_resources|{}
empty|which models can I choose from|list_models|{}
empty|do you know any tiny models|list_models|{}
empty|how good is my computer|describe_hardware|{}
empty|do I have cuda here|describe_hardware|{}
empty|Yesterday in a talk they said "adapters". I have no idea what those are.|explain|{}
empty|what is the difference between a merged model and an adapter|explain|{}
empty|please explain dora like I'm twelve|explain|{}
runs|what have I got so far|list_jobs|{}
runs|list the succeeded runs|list_jobs|{"state":"succeeded"}
runs|show me the last run|show_job|{}
live|progress?|show_job|{}
live|when is it going to be done?|show_job|{}
live|kill tickets-lora-9|cancel_job|{}
cut|keep going with the interrupted training|resume_job|{}
cut|can you restart tickets-lora-8 from where it stopped?|resume_job|{}
runs|how does tickets-lora-7 perform on tickets.jsonl|evaluate_model|{"path":"tickets.jsonl"}
runs|I want an evaluation of tickets-dora-6|evaluate_model|{"job":"tickets-dora-6"}
runs|onnx of the last one, int4, please|export_model|{"precision":"int4"}
runs|save the adapter of tickets-lora-7|export_model|{"format":"adapter"}
runs|export the dora one in full precision|export_model|{"job":"tickets-dora-6","precision":"fp32"}
runs|try tickets-lora-7 with "I lost my password"|try_model|{"prompt":"I lost my password"}
runs|let the model answer this: my order is late|try_model|{}
runs|remove the run tickets-dora-6|forget|{"job":"tickets-dora-6"}
runs|forget tickets-lora-7|forget|{"job":"tickets-lora-7"}
runs|diagnose reviews-lora-5|show_job|{}
fresh|don't worry about training, I only want to know how long reviews.csv would take|estimate_resources|{}
fresh|which day is it||{}
fresh|Hiya, been meaning to do this for weeks: tickets.jsonl, LoRA, rank 8, three epochs. Go for it.|start_training|{"rank":8,"epochs":3}
fresh|would you train something small on reviews.csv, max 10 minutes|start_training|{"minutes":10}
fresh|Fine-tuning job: data=reviews.csv method=dora rank=4 epochs=2|start_training|{"method":"dora","rank":4,"epochs":2}
fresh|we need a model trained with tickets.jsonl, learning rate one e minus four|start_training|{"learning_rate":0.0001}
fresh|train it on reviews.csv with a batch of thirty two|start_training|{"batch_size":32}
fresh|my plan: qlora over reviews.csv, eighty twenty split. please set it up|start_training|{"method":"qlora","eval_fraction":0.2}
looked|super, let's train with lora|start_training|{"method":"lora"}
looked|please go on and train it for one epoch only|start_training|{"epochs":1}
looked|I'd like to tune on it for a quarter of an hour|start_training|{"minutes":15}
advised|number 2 it is|start_training|{"method":"dora"}
advised|the recommended one please|start_training|{}
planned|make the rank twice as big|start_training|{"rank":32}
planned|ten epochs|start_training|{"epochs":10}
planned|hmm can you do that with qlora?|start_training|{"method":"qlora"}
planned|better take tickets.jsonl|start_training|{"path":"tickets.jsonl"}
planned|3e-4 for the learning rate|start_training|{"learning_rate":0.0003}
planned|alpha is too low, sixteen please|start_training|{"alpha":16}
planned|I want twenty percent held out|start_training|{"eval_fraction":0.2}
planned|at most half an hour|start_training|{"minutes":30}
planned|cheers, that looks great||{}
planned|let me sleep on it||{}
planned|what is dropout?|explain|{}
planned|how much time will it take?|estimate_resources|{}
planned|show me reviews.csv again|inspect_dataset|{}
fresh|could you please analyse tickets.jsonl|inspect_dataset|{}
fresh|I'd like to know how many duplicates reviews.csv has|inspect_dataset|{}
fresh|is reviews.csv big enough?|inspect_dataset|{}
fresh|what's wrong with old data.csv|inspect_dataset|{"path":"old data.csv"}
fresh|read through tickets.jsonl for me|inspect_dataset|{}
fresh|prepare tickets.jsonl with fifteen percent for evaluation|prepare_dataset|{"eval_fraction":0.15}
fresh|split old data.csv 85:15|prepare_dataset|{"path":"old data.csv","eval_fraction":0.15}
looked|deduplicate it|prepare_dataset|{"dedupe":true}
fresh|which method for tickets.jsonl?|recommend_method|{}
fresh|I have a 3060 12 GB, what is the best method for tickets.jsonl?|recommend_method|{"memory_gb":12}
empty|I don't know which method to choose, I have only 200 examples|recommend_method|{}
looked|what's your recommendation|recommend_method|{}
advised|and on a 16 GB card?|recommend_method|{"memory_gb":16}
fresh|how long does reviews.csv take with five epochs?|estimate_resources|{"epochs":5}
fresh|can 8 GB handle dora on reviews.csv?|estimate_resources|{"memory_gb":8,"method":"dora"}
fresh|will it fit on my card if I train reviews.csv with rank 64?|estimate_resources|{"rank":64}
looked|is that going to take long?|estimate_resources|{}
empty|what base models are there|list_models|{}
empty|list models under 8 GB|list_models|{"memory_gb":8}
empty|describe my hardware|describe_hardware|{}
empty|how much vram do I have|describe_hardware|{}
empty|My teacher talked about perplexity the other day, what is it?|explain|{}
empty|when should I use qlora?|explain|{}
empty|is a bigger batch size better?|explain|{}
runs|list all runs|list_jobs|{}
runs|which runs failed?|list_jobs|{}
runs|show tickets-dora-6|show_job|{"job":"tickets-dora-6"}
runs|why has reviews-lora-5 failed?|show_job|{"job":"reviews-lora-5"}
live|how is the training doing?|show_job|{}
live|stop training|cancel_job|{}
live|I need to turn off the computer, stop everything|cancel_job|{}
cut|resume the last run|resume_job|{}
cut|let tickets-lora-8 continue|resume_job|{"job":"tickets-lora-8"}
runs|evaluate tickets-lora-7|evaluate_model|{"job":"tickets-lora-7"}
runs|test the last model on tickets.jsonl|evaluate_model|{"path":"tickets.jsonl"}
runs|turn tickets-lora-7 into an ONNX with int4 for the CPU|export_model|{"format":"onnx","precision":"int4","device":"cpu"}
runs|can you give me tickets-dora-6 as gguf|export_model|{"format":"gguf"}
runs|export the best run merged|export_model|{"format":"merged"}
runs|ask the tuned model: how do I reset my password|try_model|{}
runs|what does the model answer to "my lamp is broken"|try_model|{"prompt":"my lamp is broken"}
runs|erase reviews-lora-5|forget|{"job":"reviews-lora-5"}
runs|please delete the last run|forget|{}
runs|never delete my runs||{}
fresh|use ray tune with 20 trials on reviews.csv|start_training|{}
fresh|who are the beatles||{}
fresh|I've tidied up tickets.jsonl over the weekend. Train a DoRA adapter on it with alpha sixteen and rank eight, please.|start_training|{"method":"dora","alpha":16,"rank":8}
fresh|tune reviews.csv quick and dirty, 20 steps|start_training|{"max_steps":20}
fresh|start finetune for reviews.csv file sir, batch size is 8|start_training|{"batch_size":8}
fresh|run lora on tickets.jsonl, hold out a tenth, half an hour tops|start_training|{"eval_fraction":0.1,"minutes":30}
looked|fine, train it with rank 8 and two epochs|start_training|{"rank":8,"epochs":2}
advised|second one, please|start_training|{"method":"dora"}
planned|epochs should be two|start_training|{"epochs":2}
planned|nope, qlora|start_training|{"method":"qlora"}
planned|swap the data for tickets.jsonl|start_training|{"path":"tickets.jsonl"}
planned|a learning rate of 0.0001 would be safer|start_training|{"learning_rate":0.0001}
planned|splendid||{}
planned|will my card manage that?|estimate_resources|{}
fresh|please review tickets.jsonl for errors|inspect_dataset|{}
fresh|how many labels are in reviews.csv|inspect_dataset|{}
fresh|what's this file tickets.jsonl about?|inspect_dataset|{}
fresh|get rid of the duplicates in reviews.csv and set aside 15 %|prepare_dataset|{"eval_fraction":0.15}
fresh|can you prepare old data.csv?|prepare_dataset|{"path":"old data.csv"}
fresh|lora or dora for reviews.csv with 8 GB?|recommend_method|{"memory_gb":8}
fresh|what would you advise for tickets.jsonl, I have a 24 GB card|recommend_method|{"memory_gb":24}
fresh|is one hour enough for tickets.jsonl?|estimate_resources|{}
empty|any base models for German?|list_models|{}
empty|tell me about my machine|describe_hardware|{}
empty|A friend says full fine-tuning is always better. Is that so?|explain|{}
empty|what is a learning rate, in one sentence?|explain|{}
runs|how many runs do I have|list_jobs|{}
runs|tell me more about tickets-lora-7|show_job|{}
live|how's my run?|show_job|{}
live|abort|cancel_job|{}
cut|go on with tickets-lora-8|resume_job|{}
runs|how good is tickets-dora-6 on reviews.csv?|evaluate_model|{"path":"reviews.csv"}
runs|export tickets-dora-6 to ONNX for the gpu in fp16|export_model|{"precision":"fp16","device":"cuda"}
runs|try "I want a refund" on tickets-lora-7|try_model|{"prompt":"I want a refund"}
runs|wipe tickets-dora-6 from the disk|forget|{"job":"tickets-dora-6"}"""


@pytest.mark.parametrize("line", TABLE.splitlines())
def test_calls_what_is_meant_with_its_arguments(line: str) -> None:
    situation, said, tool, wanted = line.split("|")
    calls = stage(situation).say(said)
    if not tool:
        assert not {name for name, _ in calls} & ACTS
        return
    given = [args for name, args in calls if name == tool]
    assert given, f"called {calls}"
    args = json.loads(wanted)
    shown = {name: given[-1].get(name) for name in args}
    assert json.dumps(shown).lower() == json.dumps(args).lower()
    assert not {name for name, _ in calls} & ({"start_training", "forget"} - {tool})


@pytest.mark.parametrize(
    ("before", "said", "tool", "wanted"),
    [
        (
            "inspect reviews.csv",
            "same for tickets.jsonl please",
            "inspect_dataset",
            "tickets.jsonl",
        ),
        ("show tickets-lora-7", "and the other one?", "show_job", "tickets-dora-6"),
        ("export tickets-lora-7 to onnx", "what about int4?", "export_model", "int4"),
        ("what is lora?", "and dora?", "explain", "What is dora?"),
    ],
)
def test_a_short_message_goes_on_from_the_one_before(
    before: str, said: str, tool: str, wanted: str
) -> None:
    played = stage("runs")
    played.say(before)
    calls = played.say(said)
    assert [name for name, _ in calls] == [tool]
    assert wanted in calls[0][1].values()


def test_a_correction_says_what_is_different() -> None:
    played = stage("planned")
    played.say("rank 8 and 2 epochs")
    assert "Changed: rank 8 instead of 16; epochs 2 instead of 4." in played.reply


def test_a_first_plan_claims_no_change() -> None:
    assert "Changed:" not in stage("planned").reply


def test_an_option_that_was_not_advised_is_not_invented() -> None:
    played = stage("advised")
    assert played.say("take the third option") == []
    assert "2 options" in played.reply


def test_a_line_that_is_an_item_already_gets_no_second_dash() -> None:
    text = markdown("1. lora\n   - rank 8: a usual start\n   would change with more rows")
    assert "- - " not in text
    assert "- rank 8: a usual start" in text
